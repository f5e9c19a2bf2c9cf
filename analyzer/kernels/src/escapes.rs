//! Escapes of JSON strings (RFC 8259, 7).

#![forbid(unsafe_code)]

/// Where the escape ends that begins there.
pub fn end(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => Some(letter(line, at)?.1),
        _ => None,
    }
}

/// The letter of an escape `\uXXXX`, or of two that are a surrogate pair, and where it ends.
fn letter(line: &[u8], at: usize) -> Option<(char, usize)> {
    let first = unit(line, at)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, at + 6));
    }
    let second = unit(line, at + 6)?;
    if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, at + 12))
}

/// The number of one escape `\uXXXX`.
fn unit(line: &[u8], at: usize) -> Option<u32> {
    let escape = line.get(at..at + 6)?;
    if &escape[..2] != b"\\u" {
        return None;
    }
    escape[2..].iter().try_fold(0, |sum, &digit| Some(sum << 4 | char::from(digit).to_digit(16)?))
}

/// The text of a string between its quotes, of which every escape is sound, appended to `made`.
pub fn unescaped(inner: &[u8], made: &mut Vec<u8>) -> Option<()> {
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        if byte != b'\\' {
            made.push(byte);
            at += 1;
            continue;
        }
        let plain = match inner.get(at + 1)? {
            b'u' => {
                let (letter, end) = letter(inner, at)?;
                made.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                at = end;
                continue;
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            &same => same,
        };
        made.push(plain);
        at += 2;
    }
    Some(())
}

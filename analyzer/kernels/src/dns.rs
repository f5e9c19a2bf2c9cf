//! DNS messages: header, questions, records (`dns.decode` and `dns_records.walk`), one message after the other.
//!
//! Strict rules: labels of at most 63 octets, names of at most 255, pointers only backwards and never into the header,
//! record lengths inside the message and right for their type (RFC 1035, RFC 2308, RFC 9267).

#![forbid(unsafe_code)]

use crate::bytes::{full, half};
use crate::memory::ahead;

/// Messages that are asked for before their turn.
const AHEAD: usize = 8;

const GOOD: u8 = 0;
const MALFORMED: u8 = 1;
const UNREAD: u8 = 2;

const ABSENT: i64 = -1;
const HEADER: usize = 12;
const NAME_MOST: usize = 255;
const QUESTIONS_MOST: usize = 64;
const QUESTION_LEAST: usize = 5;
const RECORDS_MOST: usize = 64;
const RECORD_LEAST: usize = 11;
const TRUNCATED: usize = 0x0200;
const RESPONSE: usize = 0x8000;
const QUERY: usize = 0;
const NOTIFY: usize = 4;
const INTERNET: usize = 1;
/// The pointer to the first name of a message.
const TO_QUESTION: usize = 0xC000 | HEADER;

const A: usize = 1;
const NS: usize = 2;
const CNAME: usize = 5;
const SOA: usize = 6;
const PTR: usize = 12;
const MX: usize = 15;
const TXT: usize = 16;
const AAAA: usize = 28;
const SRV: usize = 33;
const DNAME: usize = 39;

/// Per message, as in `dns.Messages`; `classes` are the bits that count in a record's class.
pub struct Messages<'a> {
    pub state: &'a mut [u8],
    pub over: &'a mut [u8],
    /// id, flags, the four counts, qtype, name_at, name_length, behind, negative_ttl: column after column.
    pub columns: &'a mut [i64],
}

/// Records of answer sections, as in `dns_records.Answers`: seven columns of `room` each.
pub struct Answers<'a> {
    pub columns: &'a mut [i64],
    pub room: usize,
    pub count: usize,
}

impl Answers<'_> {
    /// Beyond its room a record is counted only.
    fn push(&mut self, row: [i64; 7]) {
        if self.count < self.room {
            for (column, value) in row.iter().enumerate() {
                self.columns[column * self.room + self.count] = *value;
            }
        }
        self.count += 1;
    }
}

/// Where the messages are, and how many octets of each were captured.
pub struct Places<'a> {
    pub data: &'a [u8],
    pub start: &'a [i64],
    pub end: &'a [i64],
    pub whole: &'a [u8],
    pub classes: &'a [i64],
}

pub fn decode(places: &Places, out: &mut Messages, answers: &mut Answers) {
    let count = places.start.len();
    for row in 0..count {
        if let Some(next) = places.start.get(row + AHEAD) {
            ahead(places.data, *next);
            ahead(places.data, *next + 64);
        }
        let mut one = Message::new(places, row);
        one.questions();
        let held = answers.count;
        if one.state == GOOD && one.records() > 0 {
            one.walk(row as i64, answers);
            if one.state == MALFORMED {
                answers.count = held;
            }
        }
        out.state[row] = one.state;
        out.over[row] = one.over as u8;
        for (column, value) in one.told().iter().enumerate() {
            out.columns[column * count + row] = *value;
        }
    }
}

struct Message<'a> {
    data: &'a [u8],
    start: usize,
    end: usize,
    whole: bool,
    class: usize,
    /// id, flags, questions, answers, authority, additional
    header: [usize; 6],
    state: u8,
    over: bool,
    after: usize,
    qtype: i64,
    name: Option<(usize, usize)>,
    negative: i64,
}

impl<'a> Message<'a> {
    fn new(places: &Places<'a>, row: usize) -> Message<'a> {
        let (data, start, end) = (places.data, places.start[row] as usize, places.end[row] as usize);
        let whole = places.whole[row] != 0;
        let at = start.min(data.len() - HEADER);
        let mut header = [0; 6];
        for (place, value) in header.iter_mut().enumerate() {
            *value = half(data, at + 2 * place);
        }
        let bad = if whole { MALFORMED } else { UNREAD };
        let mut one = Message {
            data,
            start,
            end,
            whole,
            header,
            class: places.classes.get(row).map_or(0xFFFF, |bits| *bits as usize),
            state: if start + HEADER <= end { GOOD } else { bad },
            over: false,
            after: start + HEADER,
            qtype: ABSENT,
            name: None,
            negative: ABSENT,
        };
        if one.state == GOOD && !one.tolerant() {
            let least = header[2] * QUESTION_LEAST + one.records() * RECORD_LEAST;
            if start + HEADER + least > end {
                one.state = MALFORMED;
            }
        }
        one
    }

    fn told(&self) -> [i64; 11] {
        let header = self.header.map(|value| value as i64);
        let (name_at, length) = self.name.map_or((ABSENT, 0), |(at, length)| (at as i64, length as i64));
        [
            header[0],
            header[1],
            header[2],
            header[3],
            header[4],
            header[5],
            self.qtype,
            name_at,
            length,
            self.after as i64,
            self.negative,
        ]
    }

    /// A truncated answer may count records that were left out of it.
    fn tolerant(&self) -> bool {
        self.header[1] & TRUNCATED != 0 || !self.whole
    }

    fn records(&self) -> usize {
        self.header[3] + self.header[4] + self.header[5]
    }

    fn questions(&mut self) {
        let asked = self.header[2];
        if self.state == GOOD && asked > QUESTIONS_MOST {
            self.state = MALFORMED;
        }
        if self.state != GOOD || asked == 0 {
            return;
        }
        let begin = self.after;
        match plain_name(self.data, begin, self.end) {
            Name::Broken => self.state = MALFORMED,
            Name::Ends(stop) if stop + QUESTION_LEAST <= self.end => {
                self.name = Some((begin, stop - begin + 1));
                self.qtype = half(self.data, stop + 1) as i64;
                self.after = stop + QUESTION_LEAST;
                self.others(asked);
            }
            Name::Ends(_) | Name::Cut => self.state = if self.whole { MALFORMED } else { UNREAD },
        }
    }

    /// Step over the other questions, whose names may be compressed.
    fn others(&mut self, asked: usize) {
        for _ in 1..asked {
            match name_end(self.data, self.after, self.start, self.end) {
                Some(behind) if behind + 4 <= self.end => self.after = behind + 4,
                _ => {
                    if self.whole {
                        self.state = MALFORMED;
                    }
                    // What a cut message still holds behind a question that is not there is not read.
                    self.after = self.end;
                    return;
                }
            }
        }
    }

    fn walk(&mut self, row: i64, answers: &mut Answers) {
        let total = self.records();
        self.over = total > RECORDS_MOST;
        for index in 0..total.min(RECORDS_MOST) {
            match self.record(row, index, answers) {
                Some(stop) => self.after = stop,
                None => {
                    if !self.tolerant() {
                        self.state = MALFORMED;
                    }
                    return;
                }
            }
        }
    }

    /// Where the record ends that starts at `after`; None where it is none.
    fn record(&mut self, row: i64, index: usize, answers: &mut Answers) -> Option<usize> {
        let (data, place, flags) = (self.data, self.after, self.header[1]);
        // Most owners are a pointer to the question, whose name is known to be good, or the root.
        let first = half(data, place);
        let easy = first == TO_QUESTION && self.name.is_some();
        let behind = if easy {
            place + 2
        } else if first < 256 {
            place + 1
        } else {
            name_end(data, place, self.start, self.end)?
        };
        let body = behind + 10;
        if body > self.end {
            return None;
        }
        let stop = body + half(data, behind + 8);
        if stop > self.end {
            return None;
        }
        let (kind, ttl) = (half(data, behind), full(data, behind + 4));
        let opcode = flags >> 11 & 15;
        let strict = opcode == QUERY || opcode == NOTIFY;
        let internet = half(data, behind + 2) & self.class == INTERNET;
        let checked = if strict && internet { kind } else { 0 };
        let numbers = self.fits(checked, body, stop)?;
        let (answered, authority) = (self.header[3], self.header[4]);
        if checked == SOA && index >= answered && index < answered + authority {
            self.negative = ttl.min(full(data, numbers + 16)) as i64;
        }
        if strict && index < answered && flags & RESPONSE != 0 {
            let owner = if easy { ABSENT } else { place as i64 };
            let position = index as i64 + 1;
            answers.push([row, position, kind as i64, checked as i64, ttl as i64, owner, body as i64]);
        }
        Some(stop)
    }

    /// None where the record data is not what its type demands; else where the numbers of an SOA record stand.
    fn fits(&self, kind: usize, body: usize, stop: usize) -> Option<usize> {
        let name = |at: usize| name_end(self.data, at, self.start, stop);
        let good = match kind {
            A => stop - body == 4,
            AAAA => stop - body == 16,
            NS | CNAME | PTR | DNAME => name(body).is_some(),
            MX => name(body + 2).is_some(),
            SRV => name(body + 6).is_some(),
            TXT => strings_fit(self.data, body, stop),
            SOA => {
                let third = name(name(body)?)?;
                return if third + 20 <= stop { Some(third) } else { None };
            }
            _ => true,
        };
        if good {
            Some(body)
        } else {
            None
        }
    }
}

enum Name {
    Ends(usize),
    Broken,
    Cut,
}

/// The place of the final zero of a name that cannot be compressed.
fn plain_name(data: &[u8], start: usize, end: usize) -> Name {
    let mut at = start;
    if at >= end {
        return Name::Cut;
    }
    loop {
        let length = data[at] as usize;
        if length == 0 {
            return Name::Ends(at);
        }
        at += length + 1;
        if length >= 64 || at - start >= NAME_MOST {
            return Name::Broken;
        }
        if at >= end {
            return Name::Cut;
        }
    }
}

/// Where a name ends in its place. A pointer must point before the run of labels that it ends, and the labels there
/// must end before that run: no octet is read twice, so that every walk ends.
fn name_end(data: &[u8], at: usize, start: usize, end: usize) -> Option<usize> {
    let (mut here, mut run, mut limit, mut length) = (at, at, end, 0);
    let mut out = None;
    while here < limit && length < NAME_MOST {
        let byte = data[here] as usize;
        if byte == 0 {
            return Some(out.unwrap_or(here + 1));
        }
        if byte < 64 {
            here += byte + 1;
            length += byte + 1;
            continue;
        }
        if byte < 192 || here + 2 > limit {
            return None;
        }
        let target = start + ((byte & 63) << 8 | data[here + 1] as usize);
        if target < start + HEADER || target >= run {
            return None;
        }
        out = out.or(Some(here + 2));
        limit = run;
        here = target;
        run = target;
    }
    None
}

/// Whether character-strings fill the data exactly.
fn strings_fit(data: &[u8], body: usize, stop: usize) -> bool {
    let mut at = body;
    while at < stop {
        at += data[at] as usize + 1;
    }
    at == stop
}

/* Looks up each name once with getaddrinfo, and prints the seconds of each. Linked with musl: musl-gcc -static. */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

int main(int count, char **names) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    for (int i = 1; i < count; i++) {
        struct timespec began, ended, pause = {0, 50000000};
        clock_gettime(CLOCK_MONOTONIC, &began);
        int failed = getaddrinfo(names[i], "443", &hints, &found);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        if (!failed)
            freeaddrinfo(found);
        double seconds = (ended.tv_sec - began.tv_sec) + (ended.tv_nsec - began.tv_nsec) / 1e9;
        printf("{\"name\": \"%s\", \"seconds\": %.6f, \"failed\": %d}\n", names[i], seconds, failed != 0);
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
    return 0;
}

#!/bin/sh
# What chatpost does, in six messages and one that is not posted. It wants CHATPOST_URL to be a webhook's URL:
# `make demo` gives it one of the emulator's.
set -u

say() {
    printf '%s\n' "$*" >&2
}

run() {
    say "\$ $*"
    "$@"
}

say "A message from an argument, and one from a pipe."
run chatpost send "Hello from the demo"
say '$ uptime | chatpost send'
uptime | chatpost send

say "A thread with a key of our own, and two replies to it by that key."
opened=$(run chatpost thread -k deploy-1.2 -o json "Deploy 1.2: started")
name=$(printf '%s\n' "$opened" | sed 's/.*"name": "\(spaces[^"]*messages[^"]*\)".*/\1/')
thread=$(printf '%s\n' "$opened" | sed 's/.*"name": "\(spaces[^"]*threads[^"]*\)".*/\1/')
printf '%s\n' "$name"
run chatpost reply -k deploy-1.2 "Deploy 1.2: database migrated"
run chatpost reply -k deploy-1.2 "Deploy 1.2: servers restarted"

say "A reply by the thread's name, which reaches any thread of the space."
run chatpost reply --thread "$thread" "Deploy 1.2: done"

say "With --or-fail, a reply to a thread that is not there posts nothing, and the exit status is 69."
run chatpost reply -k no-such-thread --or-fail "Is anybody there?"
[ $? -eq 69 ]

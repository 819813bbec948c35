#!/bin/sh
# Shows chatpost in six messages, and one that is refused. CHATPOST_URL must be a webhook's URL;
# `make demo` sets it to one of the emulator.
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

say "A reply by the thread's name, which works for any thread of the space."
run chatpost reply --thread "$thread" "Deploy 1.2: done"

say "With --or-fail, a reply to a thread that does not exist posts nothing, and the exit status is 69."
run chatpost reply -k no-such-thread --or-fail "Is anybody there?"
[ $? -eq 69 ]

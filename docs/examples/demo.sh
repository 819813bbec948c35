#!/bin/sh
# Posts six messages, and a seventh that Chat rejects. CHATPOST_URL must be a webhook URL;
# `make demo` sets it to a webhook of the emulator.
set -u

say() {
    printf '%s\n' "$*" >&2
}

run() {
    say "\$ $*"
    "$@"
}

say "Post a message from an argument, and one from a pipe."
run chatpost send "Hello from the demo"
say '$ uptime | chatpost send'
uptime | chatpost send

say "Start a thread with a thread key, and reply twice with that key."
opened=$(run chatpost thread -k deploy-1.2 -o json "Deploy 1.2: started")
name=$(printf '%s\n' "$opened" | sed 's/.*"name": "\(spaces[^"]*messages[^"]*\)".*/\1/')
thread=$(printf '%s\n' "$opened" | sed 's/.*"name": "\(spaces[^"]*threads[^"]*\)".*/\1/')
printf '%s\n' "$name"
run chatpost reply -k deploy-1.2 "Deploy 1.2: database migrated"
run chatpost reply -k deploy-1.2 "Deploy 1.2: servers restarted"

say "Reply with the thread name, which works for every thread of the space."
run chatpost reply --thread "$thread" "Deploy 1.2: done"

say "With --or-fail, a reply to a thread that does not exist is not posted, and the exit status is 69."
run chatpost reply -k no-such-thread --or-fail "Is anybody there?"
[ $? -eq 69 ]

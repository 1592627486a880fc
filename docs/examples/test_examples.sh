#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the examples and compares what they print. usage: test_examples.sh SERVER CLIENT HELLO OWN_LOOP DIVIDE; prints TAP.
set -u
server=$1 client=$2 hello=$3 own_loop=$4 divide=$5
folder=$(mktemp -d)
count=0 failed=0

# compare NAME STATUS: the output in $folder/is must be that in $folder/expected, and the status 0.
compare() {
    count=$((count + 1))
    if [ "$2" = 0 ] && cmp -s "$folder/expected" "$folder/is"; then
        echo "ok $count - $1"
        return
    fi
    failed=1
    echo "not ok $count - $1"
    echo "# exit status $2; expected (<) and printed (>):"
    diff "$folder/expected" "$folder/is" | sed 's/^/#   /'
}

echo '2 + 3 = 5' >"$folder/expected"
"$hello" >"$folder/is" 2>&1
compare 'hello: server and client in one loop' $?

: >"$folder/server" # which the server might not have opened when it is read
"$server" tcp://127.0.0.1:0 >"$folder/server" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$folder"' EXIT
tries=100
until url=$(sed -n 's/^listening on //p' "$folder/server") && [ -n "$url" ]; do
    tries=$((tries - 1))
    if [ $tries = 0 ]; then
        echo 'not ok 2 - the server starts'
        sed 's/^/# /' "$folder/server"
        exit 1
    fi
    sleep 0.1
done

cat >"$folder/expected" <<'END'
2 + 3: 5
-7 / 2: -3
1 / 0: division by zero
too much: invalid payload: the sum does not fit into 64 bits
next_sum, alone: timed out: no answer before the deadline
another next_sum: cancelled: cancelled by the caller
20 + 22: 42
next_sum: 42
END
"$client" "$url" >"$folder/is" 2>&1
compare 'client: every kind of call' $?
"$client" "$url" >"$folder/is" 2>&1
compare 'client: again, with the same server' $?

echo '2 + 3 = 5' >"$folder/expected"
"$own_loop" "${url##*:}" >"$folder/is" 2>&1
compare 'own_loop: the core without libchoir-net' $?

printf '%s\n' -3 'error: ByZero' >"$folder/expected"
{ "$divide" "$url" -7 2 && "$divide" "$url" 1 0; } >"$folder/is" 2>&1
compare 'divide: a method whose types the program does not have' $?
kill -0 $pid 2>/dev/null
status=$?
: >"$folder/expected"
sed '/^listening on /d' "$folder/server" >"$folder/is"
compare 'the server is still there and has said nothing else' $status
echo "1..$count"
exit $failed

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the examples and compares what they print; prints TAP.
# usage: test_examples.sh SERVER CLIENT HELLO OWN_LOOP DIVIDE KV_SERVER KV_CLIENT
# CHOIR_KV_RUST in the environment is the client of kv/rust.
set -u
server=$1 client=$2 hello=$3 own_loop=$4 divide=$5 kv_server=$6 kv_client=$7
kv=$(dirname "$0")/kv
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

# start COMMAND...: starts a server, and sets `pid` and `url`.
start() {
    : >"$folder/server" # which the server might not have opened when it is read
    : >"$folder/log"
    "$@" tcp://127.0.0.1:0 >"$folder/server" 2>"$folder/log" &
    pid=$!
    wait_for '^listening on ' "$folder/server"
    url=$(sed -n 's/^listening on //p' "$folder/server")
}

# wait_for PATTERN FILE: until a line of the file matches.
wait_for() {
    tries=100
    until grep -q "$1" "$2"; do
        tries=$((tries - 1))
        if [ $tries = 0 ]; then
            echo "not ok $((count + 1)) - no line like $1 came"
            sed 's/^/# /' "$folder/server" "$folder/log"
            exit 1
        fi
        sleep 0.1
    done
}

pid= watcher=
trap 'kill $pid $watcher 2>/dev/null; rm -rf "$folder"' EXIT
start "$server"

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
{ sed '/^listening on /d' "$folder/server" && cat "$folder/log"; } >"$folder/is"
compare 'the server is still there and has said nothing else' $status
kill $pid
wait $pid 2>/dev/null

# said LABEL STATUS COMMAND...: what it prints on standard output and error must be that in $folder/expected.
said() {
    label=$1 want=$2
    shift 2
    "$@" >"$folder/is" 2>&1
    status=$?
    [ $status = "$want" ] || echo "exit status $status" >>"$folder/is"
    compare "$label" 0
}

# kv_test NAME LEFT CLOSED GONE COMMAND...: all that a client can do, with a server of its own. LEFT is what the server
# says of a caller that gives up; CLOSED is what a watch prints when the server closes, GONE what a call prints when there
# is no server.
kv_test() {
    name=$1 left=$2 closed=$3 gone=$4
    shift 4
    start "$kv_server"
    echo 'version 1' >"$folder/expected"
    said "kv, $name: put" 0 "$@" "$url" put color red
    echo red >"$folder/expected"
    said "kv, $name: get" 0 "$@" "$url" get color
    echo 'conflict: it has version 1' >"$folder/expected"
    said "kv, $name: Conflict" 1 "$@" "$url" put color blue 7
    echo 'not found' >"$folder/expected"
    said "kv, $name: NotFound" 1 "$@" "$url" get shape
    echo 'too large: 70000 bytes, the server takes 65536' >"$folder/expected"
    head -c 70000 /dev/zero >"$folder/large"
    said "kv, $name: TooLarge" 1 "$@" "$url" put large - <"$folder/large"
    cat "$kv_server" "$kv_server" "$kv_server" "$kv_server" | head -c 65536 >"$folder/value"
    echo 'version 2' >"$folder/expected"
    said "kv, $name: as large as can be, binary" 0 "$@" "$url" put binary - <"$folder/value"
    { cat "$folder/value" && echo; } >"$folder/expected"
    said "kv, $name: and back" 0 "$@" "$url" get binary
    printf '%s\n' 'binary: version 2, 65536 bytes' 'color: version 1, 3 bytes' >"$folder/expected"
    said "kv, $name: list" 0 "$@" "$url" list

    "$@" "$url" watch color 3 >"$folder/watched" 2>&1 &
    watcher=$!
    wait_for '^watch color' "$folder/log"
    "$@" "$url" put color green >/dev/null
    wait_for green "$folder/watched"
    "$@" "$url" delete color
    wait $watcher
    status=$?
    printf '%s\n' 'version 1: red' 'version 3: green' deleted >"$folder/expected"
    cp "$folder/watched" "$folder/is"
    compare "kv, $name: a long poll is answered by a put and a delete" $status

    "$@" "$url" watch shape >"$folder/is" 2>&1 &
    watcher=$!
    wait_for '^watch shape' "$folder/log"
    kill -INT $watcher
    wait $watcher
    status=$?
    wait_for "^$left shape" "$folder/log"
    echo cancelled >"$folder/expected"
    compare "kv, $name: a long poll is cancelled, and the server lets go" $status

    "$@" "$url" watch size >"$folder/is" 2>&1 &
    watcher=$!
    wait_for '^watch size' "$folder/log"
    kill -TERM $pid
    wait $pid
    server_status=$?
    wait $watcher
    status=$?
    [ $status = 2 ] || echo "exit status $status" >>"$folder/is"
    # The last answer and the end of the link come together, and a client of vox may see the end first.
    [ "$name" != Rust ] || sed -i 's/^ConnectionClosed$/Cancelled/' "$folder/is"
    echo "$closed" | sed "s,URL,$url," >"$folder/expected"
    compare "kv, $name: the server closes under a long poll" $server_status
    echo "$gone" | sed "s,URL,$url,; s,ADDRESS,${url#tcp://},g" >"$folder/expected"
    said "kv, $name: the server is gone" 2 "$@" "$url" get color
    pid= watcher=
}

kv_test C cancelled "Kv.wait_change at URL: cancelled by the peer. It may have run. Its handler failed, or it is closing; \
its own log may tell more. Find out whether it ran before calling again." "Kv.get: send failed: cannot connect to \
URL: ADDRESS: Connection refused. It never ran. Check that a server listens there." "$kv_client"

for python in python3 /usr/bin/python3 ''; do
    [ -z "$python" ] || ! "$python" -c 'import msgpack' 2>/dev/null || break
done
if [ -z "$python" ] || [ -n "${CHOIR_WITHOUT_MSGPACK:-}" ]; then
    count=$((count + 1))
    echo "ok $count - kv, Python # SKIP no python3-msgpack, or no msgpack in this build"
else
    kv_test Python cancelled 'watch: Cancelled' 'cannot connect to ADDRESS: Connection refused' "$python" "$kv/client.py"
fi

case ${CHOIR_KV_RUST:-} in
'' | none)
    count=$((count + 1))
    echo "ok $count - kv, Rust # SKIP no client was built with cargo"
    ;;
*)
    kv_test Rust gone 'Cancelled' 'cannot connect to ADDRESS: Connection refused (os error 111)' "$CHOIR_KV_RUST"
    ;;
esac

# The README's table of line counts: | what | `mark` in [file](file) | lines | at most |. Lines are counted between
# the mark's comments, without blank ones and those that are comments.
sed -n 's/^|.*| `\([a-z]*\)` in \[.*\](\(.*\)) | \([0-9]*\) | \([0-9]*\) |$/\1 \2 \3 \4/p' "$kv/README.md" >"$folder/table"
printf '%s\n' 'call 12' 'later 30' 'main 60' >"$folder/expected"
while read -r mark file lines most; do
    is=$(awk -v mark="/* lines: $mark */" '
        $0 == mark { on = 1; next }
        $0 == "/* lines end */" { on = 0 }
        on && NF && $1 !~ /^\/\*/ && $1 != "*" { n++ }
        END { print n + 0 }' "$kv/$file")
    if [ "$is" = "$lines" ] && [ "$is" -gt 0 ] && [ "$is" -le "$most" ]; then
        echo "$mark $most"
    else
        echo "$mark: $is lines in $file, the README says $lines, at most $most"
    fi
done <"$folder/table" >"$folder/is"
compare "kv: the README's line counts" 0
echo "1..$count"
exit $failed

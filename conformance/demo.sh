#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Calls between programs, to look at: C to C and, when there is a peer in Rust, C to Rust and Rust to C; then those of
# docs/examples/kv, whose clients are in C, in Python when it has msgpack, and in Rust.
#
# usage: demo.sh BUILD_DIR [VOX_PEER [KV_RUST]]    (or VOX_PEER and KV_RUST in the environment)
#
# Prints a table of the calls that crossed; ends with 1 if one of them did not go as it should. The time of each is that
# of the whole program: start, connect, handshake, call, end.
set -uo pipefail
export LC_ALL=C # numbers with a point

[[ $# -ge 1 && -x $1/choir ]] || {
    echo 'usage: demo.sh BUILD_DIR [VOX_PEER [KV_RUST]]: there is no choir command in that folder' >&2
    exit 1
}
CHOIR=$1/choir
VOX=${2:-${VOX_PEER:-}}
KV=${3:-${KV_RUST:-}}
EXAMPLES=$1/docs/examples
KV_PYTHON=$(dirname "$0")/../docs/examples/kv/client.py
LIMIT=30 # seconds for one program
folder=$(mktemp -d)
servers=()
crossed=0
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$folder"' EXIT

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

row() { printf '%-8s%-6s%-34s%-60s%9s\n' "$@"; }

# start NAME COMMAND...: starts a server that prints where it listens, and sets `address` to that.
start() {
    local name=$1 tries=100
    shift
    : >"$folder/$name" # which the server might not have opened when it is read
    "$@" >"$folder/$name" 2>"$folder/$name.err" &
    servers+=($!)
    until address=$(sed -n 's/^listening on \(tcp:\/\/\)\{0,1\}//p' "$folder/$name") && [[ -n $address ]]; do
        ((tries-- > 0)) || die "the $name server did not start: $* $(cat "$folder/$name.err")"
        sleep 0.1
    done
}

# timed COMMAND...: runs it and sets `status`, `out`, `err` and `took`.
timed() {
    local begin=$EPOCHREALTIME
    status=0
    timeout $LIMIT "$@" >"$folder/out" 2>"$folder/err" || status=$?
    local end=$EPOCHREALTIME
    took=$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.1f ms", (b - a) * 1000 }')
    out=$(<"$folder/out") err=$(<"$folder/err")
}

# from_c TO EXIT_STATUS RESULT METHOD [ARGUMENT]...: one call of ours.
from_c() {
    local to=$1 want_status=$2 want=$3 method=$4 call
    shift 4
    timed "$CHOIR" call "$address" "Testbed.$method" "$@"
    call=$(printf ', %s' "$@")
    call="$method(${call:2})"
    [[ $status == "$want_status" && $out$err == "$want" ]] ||
        die "C to $to, $call: wanted $want, got $out$err (exit status $status)"
    row C "$to" "$call" "$want" "$took"
    crossed=$((crossed + 1))
}

calls_of_c() {
    from_c "$1" 0 '"hello"' echo '"hello"'
    from_c "$1" 0 '"olleh"' reverse '"hello"'
    from_c "$1" 0 -3 divide -7 2
    from_c "$1" 1 'error: "DivisionByZero"' divide 1 0
    from_c "$1" 0 '{"name":"Alice","age":30,"email":"alice@example.com"}' lookup 1
    from_c "$1" 1 'error: "NotFound"' lookup 7
    from_c "$1" 0 18446744073709551615 echo_u64 18446744073709551615
    from_c "$1" 0 '[0,127,255]' echo_bytes '[0,127,255]'
    timed "$CHOIR" ping --count 20 --interval 0 "$address"
    [[ $status == 0 ]] || die "C to $1, ping: $out$err"
    row C "$1" 'ping, 20 times' "$(sed -n 's/.*; round trip min.*, \(median .*\), max.*/\1/p' <<<"$out")" "$took"
    crossed=$((crossed + 1))
}

# from_rust SCENARIO: one of vox-peer, which judges the results itself.
from_rust() {
    local result
    timed "$VOX" client "$address" "$1"
    [[ $status == 0 ]] || die "Rust to C, $1: $out$err"
    result=$(sed -n 's/^result [^ ]* //p' <<<"$out" | tail -n 1)
    ((${#result} <= 58)) || result=${result:0:55}...
    row Rust C "$1" "$result" "$took"
    crossed=$((crossed + 1))
}

# kv_call FROM EXIT_STATUS PATTERN CALL COMMAND...: one call of the example; the pattern is for what it prints.
kv_call() {
    local from=$1 want_status=$2 want=$3 call=$4
    shift 4
    timed "$@"
    [[ $status == "$want_status" && $out$err =~ ^$want$ ]] ||
        die "$from to C, $call: wanted $want, got $out$err (exit status $status)"
    row "$from" C "$call" "${out//$'\n'/, }$err" "$took"
    crossed=$((crossed + 1))
}

# put_when_watched: changes the key once the server has said that somebody waits for it.
put_when_watched() {
    local before=$1 tries=100
    until (($(grep -c '^watch color' "$folder/kv.err") > before)) || ((tries-- == 0)); do sleep 0.05; done
    "$EXAMPLES/kv-client" "tcp://$address" put color green >"$folder/put"
}

# kv_calls FROM COMMAND...: a client of the example.
kv_calls() {
    local from=$1 putter
    shift
    kv_call "$from" 0 'version [0-9]+' 'kv.put("color", "red")' "$@" "tcp://$address" put color red
    kv_call "$from" 0 red 'kv.get("color")' "$@" "tcp://$address" get color
    kv_call "$from" 0 'color: version [0-9]+, 3 bytes' 'kv.list("")' "$@" "tcp://$address" list
    kv_call "$from" 1 'not found' 'kv.get("shape")' "$@" "tcp://$address" get shape
    kv_call "$from" 1 'too large: 70000 .*' 'kv.put("shape", 70000 bytes)' "$@" "tcp://$address" put shape - \
        < <(head -c 70000 /dev/zero)
    put_when_watched "$(grep -c '^watch color' "$folder/kv.err")" &
    putter=$!
    kv_call "$from" 0 $'version [0-9]+: red\nversion [0-9]+: green' 'kv.wait_change("color"), twice' \
        "$@" "tcp://$address" watch color 2
    wait $putter
}

row from to call result time
start C "$CHOIR" serve tcp://127.0.0.1:0
c_server=$address
calls_of_c C
if [[ -n $VOX ]]; then
    [[ -x $VOX ]] || die "there is no program $VOX"
    start Rust "$VOX" serve 127.0.0.1:0 --nodelay
    calls_of_c Rust
    address=$c_server
    for scenario in echo-one-byte divide-ok divide-by-zero lookup-found lookup-not-found echo-bytes pipelined-1000; do
        from_rust "$scenario"
    done
fi
start kv "$EXAMPLES/kv-server" tcp://127.0.0.1:0
kv_server=${servers[-1]}
kv_calls C "$EXAMPLES/kv-client"
for python in python3 /usr/bin/python3 ''; do
    [[ -n $python ]] && ! "$python" -c 'import msgpack' 2>"$folder/err" || break
done
[[ -z $python ]] || kv_calls Python "$python" "$KV_PYTHON"
[[ -z $KV ]] || kv_calls Rust "$KV"
kill -TERM "$kv_server"
wait "$kv_server" || die "the kv server did not end in order: $(cat "$folder/kv.err")"
kill -TERM "${servers[0]}"
wait "${servers[0]}" || die "the C server did not end in order: $(cat "$folder/C.err")"
[[ ! -s $folder/C.err ]] || die "the C server complained: $(cat "$folder/C.err")"

between='between C and C'
[[ -z $VOX ]] || between+=', between C and Rust'
[[ -z $python ]] || between+=', from Python to C'
printf '\n%d of %d went as they should, %s.\n' "$crossed" "$crossed" "$between"

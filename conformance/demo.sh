#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Calls between programs, to look at: C to C and, when there is a peer in Rust, C to Rust and Rust to C.
#
# usage: demo.sh BUILD_DIR [VOX_PEER]    (or VOX_PEER in the environment)
#
# Prints a table of the calls that crossed; ends with 1 if one of them did not go as it should. The time of each is that
# of the whole program: start, connect, handshake, call, end.
set -uo pipefail
export LC_ALL=C # numbers with a point

[[ $# -ge 1 && -x $1/choir ]] || {
    echo 'usage: demo.sh BUILD_DIR [VOX_PEER]: there is no choir command in that folder' >&2
    exit 1
}
CHOIR=$1/choir
VOX=${2:-${VOX_PEER:-}}
LIMIT=30 # seconds for one program
folder=$(mktemp -d)
servers=()
crossed=0
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$folder"' EXIT

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

row() { printf '%-6s%-6s%-34s%-60s%9s\n' "$@"; }

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
kill -TERM "${servers[0]}"
wait "${servers[0]}" || die "the C server did not end in order: $(cat "$folder/C.err")"
[[ ! -s $folder/C.err ]] || die "the C server complained: $(cat "$folder/C.err")"

between='between C and C'
[[ -z $VOX ]] || between+=' and between C and Rust'
printf '\n%d of %d went as they should, %s.\n' "$crossed" "$crossed" "$between"

# A throw-away PostgreSQL server: made, started, and gone with whoever holds our standard input. Run as the user it is to
# belong to. $1: the folder of PostgreSQL's programs, $2: the port; the rest are options of the server.
set -eu
PATH="$1:$PATH"
port=$2
shift 2
folder=$(mktemp -d)
server=
gone() {
    [ -z "$server" ] || { kill -QUIT "$server" 2>/dev/null && wait "$server" || :; }
    rm -rf "$folder"
}
trap gone EXIT
initdb --pgdata "$folder/data" --auth trust --username postgres --encoding UTF8 --locale C.UTF-8 --no-sync --no-instructions >/dev/null
postgres -D "$folder/data" -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories="$folder" "$@" \
    >"$folder/log" 2>&1 </dev/null &
server=$!
until pg_isready --quiet --host 127.0.0.1 --port "$port"; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done
echo "$folder"
cat >/dev/null

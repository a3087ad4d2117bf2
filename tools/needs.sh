#!/bin/sh
# Sees that this host has what building needs, or with the word `tests` what testing needs besides. As root on
# Debian it installs what is missing; elsewhere it names what is missing in one line and stops.
: "${PYTHON:=python3}"
PATH=$PATH:/usr/sbin:/sbin    # of a Debian user who has logged in, it has neither
wanted=${1:-build}

look() {
    missing=
    "look_$wanted"
}

look_build() {
    need python3         "$PYTHON" -c ''
    need python3-venv    "$PYTHON" -c 'import ensurepip, venv'
}

look_tests() {
    look_build
    need passwd          command -v useradd    # tests make a user to ask PAM about
    need libpam-modules  found pam_unix.so /lib /usr/lib
    need util-linux      command -v unshare    # tests mount things read-only, for themselves alone
    need mmdebstrap      command -v mmdebstrap # a Debian in which tests install packages,
    need systemd-container command -v systemd-nspawn # and which boots
    need iproute2        command -v ip         # tests make networks of their own,
    need iptables        command -v iptables   # which lose packets
    need logrotate       command -v logrotate  # moves audit logs away under running daemons
    need libaugeas0      found libaugeas.so.0 /lib /usr/lib    # augeas.* edit a hosts file of the tests' own
    need zsh             command -v zsh        # tests complete commands in real shells
    need fish            command -v fish
    need mandoc          command -v mandoc     # tests have the manual read by both that people have
    need groff-base      command -v groff
    need augeas-lenses   found hosts.aug /usr/share/augeas
}

# need DEBIAN-PACKAGE COMMAND…   it is missing unless the command succeeds
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# found NAME FOLDER…   whether there is such a file in one of the folders
found() {
    name=$1
    shift
    find "$@" -name "$name" 2>/dev/null | grep -q .
}

look
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing:$missing"
    # shellcheck disable=SC2086 # names of packages, one word each
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing; } </dev/null >&2
    look
fi
if [ -n "$missing" ]; then
    echo "missing on this host, please install (names as in Debian):$missing" >&2
    exit 1
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "cw needs Python 3.11 or later, and $PYTHON is older: make PYTHON=… names another" >&2
    exit 1
fi

#!/bin/sh
# What cargo runs each test program with, see tests/run.
case ${1##*/} in remote-*) export RUST_TEST_THREADS=4 ;; esac
exec "$@"

#!/bin/sh
# Makes the buckets named as arguments, those that are not there yet, through the SeaweedFS master at $MASTER.
set -eu
there=$(echo s3.bucket.list | weed shell -master="$MASTER" | awk '{print $1}')
for bucket in "$@"; do
    echo "$there" | grep -qx "$bucket" || echo "s3.bucket.create -name $bucket" | weed shell -master="$MASTER"
done

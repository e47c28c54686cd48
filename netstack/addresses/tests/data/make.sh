#!/bin/sh
# Makes the images in this folder anew, as the tests read them:
#   netstack/addresses/tests/data/make.sh [folder]
# It needs no root, but on Debian the packages genisoimage, dosfstools, mtools and xz-utils.
set -eu
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH=1700000000
out=$(realpath "${1:-$(dirname "$0")}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pack() { xz --lzma2=preset=9e,dict=1MiB --check=crc32 -c "$1" >"$out/$1.xz"; }

cat >meta-data <<'END'
instance-id: iid-1
local-hostname: web-1
END
cat >network-config <<'END'
version: 2
ethernets:
  eth0:
    addresses: [10.0.0.5/24, "fd00::5/64"]
    gateway4: 10.0.0.1
    nameservers:
      addresses: [10.0.0.1]
      search: [example.org]
END
printf '#cloud-config\n{}\n' >user-data
iso() { # image, label, options
    image=$1 label=$2 && shift 2
    genisoimage -quiet -output "$image" -volid "$label" "$@" user-data meta-data network-config
    pack "$image"
}
iso joliet cidata -joliet
iso rock CIDATA -rock
iso other backup -joliet -rock
mkfs.fat --invariant -C -n CIDATA fat 256 >/dev/null
mcopy -m -i fat user-data meta-data network-config ::
pack fat
ls -l "$out"

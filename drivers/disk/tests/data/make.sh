#!/bin/sh
# Makes the images in this folder anew, as the tests read them:
#   drivers/disk/tests/data/make.sh [folder]
# It needs no root, but on Debian the packages e2fsprogs, dosfstools, mtools, fdisk, gdisk and xz-utils. Identifiers
# and times are fixed where the tools let them be; what the tests expect of the contents stands in the tests.
set -eu
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8 TZ=UTC MTOOLS_SKIP_CHECK=1 SOURCE_DATE_EPOCH=1700000000
export E2FSPROGS_FAKE_TIME=1700000000
out=$(realpath "${1:-$(dirname "$0")}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

blank() { rm -f "$2" && truncate -s "$1" "$2"; }
pack() { xz --lzma2=preset=9e,dict=1MiB --check=crc32 -c "$1" >"$out/$1.xz"; }

# --- Partition tables -------------------------------------------------------------------------------------------

# fdisk reads the same scripts as sfdisk, and lets one say how long the sectors of a file are.
table() { # script, image, size, bytes in a sector
    blank "$3" "$2"
    "$1" | sed "s/^label: gpt$/&\nfirst-lba: $((4096 * 6 / $4))/" >script
    printf 'I\nscript\nw\n' | fdisk -b "$4" -w never "$2" >log 2>&1
    ! grep -i failed log
    pack "$2"
}
gpt() {
    cat <<'END'
label: gpt
label-id: 6B1F0B1C-2B2E-4C51-9B7C-0123456789AB
name="EFI system", size=1MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-3333-4444-555555555555
name="Wurzel äöü", size=512KiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=22222222-2222-3333-4444-555555555555
size=256KiB, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=33333333-2222-3333-4444-555555555555
END
}
table gpt gpt-512 4M 512
table gpt gpt-4096 8M 4096

blank 4M gpt-sgdisk
sgdisk -U 6B1F0B1C-2B2E-4C51-9B7C-0123456789AC -a 8 \
    -n 1:40:1039 -c 1:one -t 1:8300 -u 1:44444444-2222-3333-4444-555555555555 \
    -n 7:2048:0 -c "7:sieben 🦀" -t 7:0700 -u 7:55555555-2222-3333-4444-555555555555 gpt-sgdisk >/dev/null
pack gpt-sgdisk

mbr() {
    cat <<'END'
label: dos
label-id: 0x5eed5eed
disk1 : start=1MiB, size=512KiB, type=83, bootable
disk2 : start=2MiB, size=512KiB, type=c
disk3 : start=3MiB, size=6MiB, type=f
disk5 : start=4MiB, size=256KiB, type=83
disk6 : start=6MiB, size=512KiB, type=82
disk7 : start=8MiB, size=1MiB, type=7
END
}
table mbr mbr-512 10M 512
table mbr mbr-4096 10M 4096

# --- Files ------------------------------------------------------------------------------------------------------

long='a name as long as names may be '
long="$long$long$long$long$long$long$long$long$long"
long=$(printf '%.251s.txt' "$long")

# Lines that say where they are, so that tests can make them again.
lines() { seq -f "$1 line %06g" 1 "$2"; }

mkdir -p tree/dir/sub/deep tree/many tree/empty-dir
printf 'Hello, world!\n' >tree/hello.txt
: >tree/empty
lines long 16000 >tree/long.txt
lines named 10 >"tree/dir/$long"
printf 'at the bottom\n' >tree/dir/sub/deep/bottom.txt
printf 'umlauts\n' >'tree/dir/äöü.txt'
printf 'letters\n' >'tree/dir/Ünïcode ωmega.txt'
for i in $(seq 1 220); do printf '%s\n' "$i" >"tree/many/file number $i"; done

cp -r tree links
ln -s hello.txt links/to-hello
ln -s ../hello.txt links/dir/up
ln -s /dir/sub links/to-sub
ln -s "/dir/../dir/./sub/../../dir/sub/deep/../deep/../../sub/deep/bottom.txt" links/to-bottom
ln -s loop-b links/loop-a
ln -s loop-a links/loop-b
ln -s nowhere links/dangling
mkfifo links/pipe
# Holes at its beginning, in its middle and at its end, and more extents than an inode has room for.
for i in $(seq 1 40); do
    printf 'block %03d' "$i" | dd of=links/sparse bs=8192 seek="$((i * 2 - 1))" conv=notrunc status=none
done
truncate -s 1M links/sparse
find tree links -exec touch -h -d @1700000000 {} +

# --- ext4 -------------------------------------------------------------------------------------------------------

uuid=01234567-89ab-cdef-0123-456789abcdef
ext() { # image, size, options of mkfs.ext4
    image=$1 && blank "$2" "$image" && shift 2
    mke2fs -q -U "$uuid" -E "hash_seed=$uuid,root_owner=0:0,lazy_itable_init=0" -L fixture -d links "$@" "$image"
}
index() { e2fsck -fyD "$1" >/dev/null || [ $? -eq 1 ]; }

ext ext4-1k 2M -t ext4 -b 1024 -N 320 -O ^has_journal,^resize_inode
index ext4-1k
pack ext4-1k
ext ext4-4k 8M -t ext4 -b 4096 -N 320
index ext4-4k
pack ext4-4k
# Neither checksums nor 64-bit numbers, as made for old kernels, and no index of the directories.
ext ext4-old 2M -t ext4 -b 2048 -N 320 -I 128 -O ^has_journal,^resize_inode,^metadata_csum,^64bit,^flex_bg
pack ext4-old
# Blocks in lists of lists instead of extents.
ext ext2 2M -t ext2 -b 1024 -N 320 -O ^resize_inode
pack ext2
ext ext3-4k 8M -t ext3 -b 4096 -N 320
pack ext3-4k

# Journals that were not replayed. What debugfs writes into them, it reads from files.
block_of() { debugfs -R "bmap $2 0" "$1" 2>/dev/null; }
write_journal() { # image, commands
    { echo "$2" && echo jc; } | debugfs -w -f - "$1" >log 2>&1
    debugfs -R features "$1" 2>/dev/null | grep -q needs_recovery
}
# What e2fsck makes of it must be what the tests expect.
replays_to() { # image, file, contents
    cp "$1" copy
    e2fsck -fy copy >log || [ $? -eq 1 ]
    [ "$(debugfs -R "cat $2" copy 2>/dev/null)" = "$3" ]
}
printf '%-4096s' 'replayed once' >once
printf '%-4096s' 'never committed' >never
printf 'Hello, again!\n' >twice
printf 'renewed\n' >renewed
truncate -s 4096 twice renewed

# The block of hello.txt is written twice.
ext ext4-journal 4M -t ext4 -b 1024 -N 320 -J size=1
block=$(block_of ext4-journal /hello.txt)
write_journal ext4-journal "jo -c
jw -b $block once
jw -b $block twice"
replays_to ext4-journal /hello.txt 'Hello, again!'
pack ext4-journal

# It is written, revoked, and written again without an end; another block is written in between. No checksums, 32-bit
# numbers, lists of blocks.
ext ext3-revoked 4M -t ext3 -b 1024 -N 320 -J size=1
block=$(block_of ext3-revoked /hello.txt)
other=$(block_of ext3-revoked /dir/äöü.txt)
write_journal ext3-revoked "jo
jw -b $block once
jw -r $block
jw -b $other renewed
jw -b $block -c never"
replays_to ext3-revoked /hello.txt 'Hello, world!'
replays_to ext3-revoked /dir/äöü.txt renewed
pack ext3-revoked

# --- FAT --------------------------------------------------------------------------------------------------------

fat() { # image, size, options of mkfs.fat
    image=$1 && blank "$2" "$image" && shift 2
    mkfs.fat --invariant -n FIXTURE "$@" "$image" >/dev/null
    # A file in pieces: the clusters between are those of one that is deleted again.
    head -c 20000 tree/long.txt >gap
    mcopy -m -i "$image" gap ::gap && mcopy -m -i "$image" tree/hello.txt ::hello.txt
    mdel -i "$image" ::gap
    mcopy -m -s -i "$image" tree/long.txt tree/empty tree/dir tree/many tree/empty-dir ::
}
fat fat12 1M -F 12 -s 2
pack fat12
fat fat16 4M -F 16 -s 1 -r 64
pack fat16
# Fewer clusters would do for Linux, but not for mtools.
fat fat32 34M -F 32 -s 1
pack fat32
fat fat16-4096 20M -F 16 -S 4096 -s 1
pack fat16-4096
ls -l "$out"

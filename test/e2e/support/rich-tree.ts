/** A tree that has one of everything a file system can hold. */
import { sh } from "./run.ts";

/**
 * Makes it in the empty directory `root`: all file types, odd names, hard
 * links, sparse files, times down to nanoseconds, owners, every mode bit,
 * extended attributes of each name space, capabilities and ACLs. Needs root.
 */
export async function makeRichTree(root: string): Promise<void> {
  await sh(TREE, { cwd: root });
}

const TREE = `
mkdir -p plain/deep/er empty links special attributes
for i in $(seq 200); do echo "content of file $i" > plain/file$i; done
head -c 3000000 /dev/urandom > plain/deep/large
printf 'spaces' > 'plain/deep/a name with spaces'
printf 'newline' > $'plain/deep/a\\nnewline'
printf 'bytes' > $'plain/deep/er/not utf-8 \\xff\\xfe'
printf 'long' > plain/deep/er/$(printf 'n%.0s' $(seq 255))
: > plain/nothing

ln plain/file1 links/hard1
ln plain/file1 links/hard2
ln plain/deep/large links/hard-large
ln -s ../plain/file2 links/soft
ln -s /absolute/nowhere links/dangling
ln -s "$(printf 'x%.0s' $(seq 1000))" links/long
ln links/soft links/hard-to-soft

mkfifo -m 0620 special/fifo
mknod -m 0640 special/null c 1 3
mknod -m 0600 special/large-numbers c 300 70000
mknod -m 0660 special/block b 7 99

truncate -s 20M special/all-hole
dd if=/dev/urandom of=special/islands bs=64k seek=10 count=1 status=none
dd if=/dev/urandom of=special/islands bs=64k seek=200 count=1 conv=notrunc status=none
truncate -s 30M special/islands

for mode in 0000 0777 4755 2755 6711 1777 0444; do
  echo $mode > attributes/mode$mode
  chmod $mode attributes/mode$mode
done
mkdir -m 3770 attributes/sticky
echo owned > attributes/owned
chown 1234:5678 attributes/owned
ln -s owned attributes/owned-link
chown -h 4321:8765 attributes/owned-link

echo tagged > attributes/tagged
setfattr -n user.note -v 'a note' attributes/tagged
setfattr -n user.empty attributes/tagged
setfattr -n user.large -v "$(printf 'v%.0s' $(seq 2000))" attributes/tagged
setfattr -n trusted.secret -v hidden attributes/tagged
setfattr -n user.of-directory -v yes attributes/sticky
cp /bin/true attributes/capable
setcap cap_net_raw,cap_net_bind_service+ep attributes/capable
echo listed > attributes/listed
setfacl -m u:1234:r--,g:5678:rwx,m::r-x attributes/listed
mkdir attributes/inheriting
setfacl -d -m u:1234:rwx attributes/inheriting
setfacl -m g:5678:--x attributes/inheriting

touch -h -d '2001-02-03 04:05:06.123456789 UTC' plain/file3 links/soft special/fifo special/null
touch -d '1969-12-31 23:59:58.500000001 UTC' plain/file4
touch -d '2100-01-01 00:00:00.999999999 UTC' plain/file5
touch -d '1999-09-09 09:09:09.000000009 UTC' empty plain/deep/er
`;

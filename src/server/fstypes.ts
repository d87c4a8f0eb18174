/**
 * The types of file systems a HOST can have, and how the files of each are treated
 * unless the configuration says otherwise (policy.ts). Magic numbers: linux/magic.h,
 * and the file system's own source where that header leaves it out; statfs(2) has most.
 */

/**
 * How a client may treat files.
 *
 * | treatment | names, attributes | data | poll |
 * | --- | --- | --- | --- |
 * | live | asked for each time | asked for each time, whatever the size says | the HOST's |
 * | watched | believed; the server tells of changes | cached, dropped on change | always ready |
 * | short | believed for a second | cached until the next open | always ready |
 */
export const TREATMENTS = ["live", "watched", "short"] as const;
export type Treatment = (typeof TREATMENTS)[number];

export interface FileSystemType {
  readonly name: string;
  readonly magic: number;
  readonly treatment: Treatment;
}

/** Files that are made when they are read: their size says nothing, they change by themselves. */
const LIVE = {
  proc: 0x9fa0,
  sysfs: 0x62656572,
  cgroup: 0x27e0eb,
  cgroup2: 0x63677270,
  debugfs: 0x64626720,
  tracefs: 0x74726163,
  bpf: 0xcafe4a11,
  securityfs: 0x73636673,
  selinuxfs: 0xf97cff8c,
  smackfs: 0x43415d53,
  apparmorfs: 0x5a3c69f0,
  configfs: 0x62656570,
  devpts: 0x1cd1,
  mqueue: 0x19800202,
  nsfs: 0x6e736673,
  pidfs: 0x50494446,
  resctrl: 0x07655821,
  efivarfs: 0xde5e81e4,
  pstore: 0x6165676c,
  fusectl: 0x65735543,
  binfmt_misc: 0x42494e4d,
  nfsd: 0x6e667364,
  rpc_pipefs: 0x67596969,
  openpromfs: 0x9fa1,
  xenfs: 0xabba1974,
  binder: 0x6c6f6f70,
  functionfs: 0xa647361,
  dlmfs: 0x76a9f425,
  s390_hypfs: 0x7687,
} as const;

/** All changes go through this kernel, which tells of them (fanotify(7)). */
const WATCHED = {
  ext4: 0xef53,
  xfs: 0x58465342,
  btrfs: 0x9123683e,
  bcachefs: 0xca451a4e,
  f2fs: 0xf2f52010,
  zfs: 0x2fc12fc1,
  tmpfs: 0x01021994,
  ramfs: 0x858458f6,
  hugetlbfs: 0x958458f6,
  overlay: 0x794c7630,
  aufs: 0x61756673,
  ecryptfs: 0xf15f,
  jfs: 0x3153464a,
  reiserfs: 0x52654973,
  nilfs2: 0x3434,
  minix: 0x4d5a,
  ufs: 0x00011954,
  hpfs: 0xf995e849,
  affs: 0xadff,
  ubifs: 0x24051905,
  jffs2: 0x72b6,
  zonefs: 0x5a4f4653,
  vfat: 0x4d44,
  exfat: 0x2011bab0,
  ntfs: 0x5346544e,
  ntfs3: 0x7366746e,
  hfs: 0x4244,
  hfsplus: 0x482b,
  iso9660: 0x9660,
  udf: 0x15013346,
  squashfs: 0x73717368,
  erofs: 0xe0f5e1e2,
  cramfs: 0x28cd3d45,
  romfs: 0x7275,
} as const;

/** Others may change the files of these, of which this kernel hears nothing. */
const SHORT = {
  nfs: 0x6969,
  smb: 0x517b,
  cifs: 0xff534d42,
  smb3: 0xfe534d42,
  ceph: 0x00c36400,
  "9p": 0x01021997,
  afs: 0x6b414653,
  openafs: 0x5346414f,
  coda: 0x73757245,
  fuse: 0x65735546,
  gfs2: 0x01161970,
  ocfs2: 0x7461636f,
  lustre: 0x0bd00bd0,
  gpfs: 0x47504653,
  orangefs: 0x20030528,
  beegfs: 0x19830326,
  vboxsf: 0x786f4256,
  vmhgfs: 0xbacbacbc,
  panfs: 0xaad7aaea,
  hostfs: 0x00c0ffee,
  autofs: 0x0187,
} as const;

function all(treatment: Treatment, magics: Readonly<Record<string, number>>): FileSystemType[] {
  return Object.entries(magics).map(([name, magic]) => ({ name, magic, treatment }));
}

/** The documented default; README.md names its live and short types. */
export const FILE_SYSTEM_TYPES: readonly FileSystemType[] = [
  ...all("live", LIVE),
  ...all("watched", WATCHED),
  ...all("short", SHORT),
];

/** What a type that is not in the table is called: its magic number in hexadecimal. */
export function unknownName(magic: number): string {
  return `0x${magic.toString(16)}`;
}

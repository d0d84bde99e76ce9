import { sftpType } from './frames.ts';

/** What changes something at the storage, beside opens for writing and extensions. */
export const changing: ReadonlySet<number> = new Set([
  sftpType.write,
  sftpType.setstat,
  sftpType.fsetstat,
  sftpType.remove,
  sftpType.mkdir,
  sftpType.rmdir,
  sftpType.rename,
  sftpType.symlink,
]);
/** A file opened from memory must be open at the storage before one of these can take its name or its rights. */
export const changingPaths: ReadonlySet<number> = new Set([
  sftpType.setstat,
  sftpType.remove,
  sftpType.rmdir,
  sftpType.rename,
  sftpType.extended,
]);
/** What begins with a handle and is the storage's to answer. */
export const byHandle: ReadonlySet<number> = new Set([
  sftpType.read,
  sftpType.write,
  sftpType.fstat,
  sftpType.fsetstat,
  sftpType.readdir,
]);
/** Extensions whose first field is a handle. */
export const extensionsByHandle: ReadonlySet<string> = new Set(['fsync@openssh.com', 'fstatvfs@openssh.com']);
/** Extensions that change nothing. */
export const extensionsThatOnlyRead: ReadonlySet<string> = new Set([
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
]);

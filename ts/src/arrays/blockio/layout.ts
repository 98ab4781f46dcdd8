// SPDX-License-Identifier: AGPL-3.0-or-later
import { basename, dirname, join } from "node:path";
import type { VolumeRef } from "../contract.js";
import type { BlockioSection } from "./schema.js";

/** Where things lie below the storage's path. Names that start with a dot never count as volumes. */
export class Layout {
  /** The directory of all guests. */
  readonly images: string;

  constructor(
    readonly section: BlockioSection,
    private readonly hostName: string,
  ) {
    this.images = this.contentDir("images");
  }

  contentDir(type: string): string {
    return join(this.section.path, this.section.contentDirs[type] ?? type);
  }

  guest(vmid: number): string {
    return join(this.images, String(vmid));
  }

  volume(ref: VolumeRef): string {
    return join(this.guest(ref.vmid), ref.name);
  }

  /** Parent of all snapshot directories of a guest. */
  guestSnapshots(vmid: number): string {
    return join(this.guest(vmid), ".snap");
  }

  snapshots(ref: VolumeRef): string {
    return join(this.guestSnapshots(ref.vmid), ref.name);
  }

  snapshot(ref: VolumeRef, name: string): string {
    return join(this.snapshots(ref), name);
  }

  /**
   * A directory volume on its way out. The node's name is in it because only that node's service may remove it
   * as a leftover: another node's may still be at work.
   */
  trash(ref: VolumeRef): string {
    return join(this.guest(ref.vmid), `.${ref.name}.${this.hostName}.trash`);
  }

  /** A copy of a directory, or what has made place for it, beside the place where the copy belongs. */
  hidden(path: string): string {
    return join(dirname(path), `.${basename(path)}.${this.hostName}.copy`);
  }

  /** Keeps the guest's directory, and says that an import of this node is under way. */
  importMark(ref: VolumeRef): string {
    return join(this.guest(ref.vmid), `.${ref.name}.${this.hostName}.importing`);
  }

  /** Where the stream of an import puts its complete file, or fills a directory. */
  imported(ref: VolumeRef): string {
    return join(this.guest(ref.vmid), `.${ref.name}.${this.hostName}.import`);
  }

  /** The path of a volume or, when given, of its snapshot. */
  path(ref: VolumeRef, snapshot: string | undefined): string {
    return snapshot === undefined ? this.volume(ref) : this.snapshot(ref, snapshot);
  }
}

const PAGE_BYTES = 4096

interface Page {
  readonly bytes: Buffer
  /** Another copy holds it too: it is copied before it changes. */
  shared: boolean
}

/**
 * Bytes of a file in memory, page by page. A page that was never written is not there and reads as zeros, so a large
 * file of zeros costs nothing; a copy shares all pages until one of both sides writes.
 */
export class SparseBytes {
  #length = 0
  #pages: (Page | undefined)[] = []

  get length(): number {
    return this.#length
  }

  /** Makes it longer, by zeros. */
  grow(length: number): void {
    this.#length = Math.max(this.#length, length)
  }

  write(bytes: Uint8Array, offset: number): void {
    this.grow(offset + bytes.length)
    for (let done = 0; done < bytes.length; ) {
      const at = offset + done
      const start = at % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - start, bytes.length - done)
      this.#own(Math.floor(at / PAGE_BYTES)).set(bytes.subarray(done, done + count), start)
      done += count
    }
  }

  /** Fills `target` from `offset`; answers the bytes read: fewer than asked only at the end. */
  read(target: Uint8Array, offset: number): number {
    const total = Math.max(0, Math.min(target.length, this.#length - offset))
    for (let done = 0; done < total; ) {
      const at = offset + done
      const start = at % PAGE_BYTES
      const count = Math.min(PAGE_BYTES - start, total - done)
      const page = this.#pages[Math.floor(at / PAGE_BYTES)]
      if (page === undefined) target.fill(0, done, done + count)
      else target.set(page.bytes.subarray(start, start + count), done)
      done += count
    }
    return total
  }

  copy(): SparseBytes {
    const copy = new SparseBytes()
    copy.#length = this.#length
    copy.#pages = this.#pages.slice()
    for (const page of this.#pages) if (page !== undefined) page.shared = true
    return copy
  }

  #own(index: number): Buffer {
    const page = this.#pages[index]
    if (page !== undefined && !page.shared) return page.bytes
    const bytes = page === undefined ? Buffer.alloc(PAGE_BYTES) : Buffer.from(page.bytes)
    this.#pages[index] = { bytes, shared: false }
    return bytes
  }
}

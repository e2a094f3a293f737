import type { KvAnswer, KvRequest } from '../wire/index.ts'

/** One connection's life, or one session in this process. A branch belongs to the line on which it was begun. */
export interface KvLine {
  readonly isOpen: boolean
  /**
   * @throws LineLostError when the line ended before the answer came: nobody knows what became of the request
   * @throws KvError when it was not even sent
   */
  call(request: KvRequest): Promise<KvAnswer>
}

/** How an application reaches a key-value participant. */
export interface KvChannel {
  /** A line that is open; waits for one. @throws KvError (KV_UNAVAILABLE), or the reason of `signal` */
  line(timeoutMs: number, signal?: AbortSignal): Promise<KvLine>
  close(): Promise<void>
}

/** The line ended while an answer was waited for. */
export class LineLostError extends Error {}

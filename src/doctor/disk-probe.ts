import { close, constants, fsync, open, unlink, write } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const openAsync = promisify<string, number, number, number>(open)
const writeAsync = promisify<number, Uint8Array, number, number, number, { bytesWritten: number }>(
  (fd, bytes, offset, length, position, done) =>
    write(fd, bytes, offset, length, position, (error, bytesWritten) => done(error, { bytesWritten })),
)
const fsyncAsync = promisify(fsync)
const closeAsync = promisify(close)
const unlinkAsync = promisify(unlink)

/** Linux: a file without a name. It is gone with its descriptor, even by SIGKILL or a power cut. */
const TMPFILE = process.platform === 'linux' ? 0o20000000 | constants.O_DIRECTORY : undefined

const WRITE_BYTES = 4_096
const WRITES = 100
/** After so long the rest is left out: a very slow disk is found by fewer writes. */
const PROBE_MS_MAX = 5_000

/** How long durable writes took, milliseconds. */
export interface WriteTimes {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/**
 * Times durable writes as a log makes them: 4 KiB each, into preallocated room, through O_DSYNC, one after the other.
 * They go to a file without a name in `directory`: nothing of it is left, and nobody who lists the directory sees it.
 *
 * @throws the file system's Error, with its `code`
 */
export async function timeDurableWrites(directory: string): Promise<WriteTimes> {
  const fd = await openNameless(directory)
  try {
    await writeAsync(fd, Buffer.alloc(WRITE_BYTES * WRITES), 0, WRITE_BYTES * WRITES, 0)
    await fsyncAsync(fd)
    return summarize(await timeWrites(fd))
  } finally {
    await closeAsync(fd)
  }
}

async function timeWrites(fd: number): Promise<number[]> {
  const times: number[] = []
  const bytes = Buffer.alloc(WRITE_BYTES, 1)
  const beganMs = performance.now()
  for (let index = 0; index < WRITES && performance.now() - beganMs < PROBE_MS_MAX; index++) {
    const fromMs = performance.now()
    await writeAsync(fd, bytes, 0, WRITE_BYTES, index * WRITE_BYTES)
    times.push(performance.now() - fromMs)
  }
  return times
}

async function openNameless(directory: string): Promise<number> {
  const flags = constants.O_RDWR | constants.O_DSYNC
  if (TMPFILE !== undefined) {
    try {
      return await openAsync(directory, flags | TMPFILE, 0o600)
    } catch (error) {
      // EOPNOTSUPP, EISDIR: this file system has no such files.
      if (!['EOPNOTSUPP', 'EISDIR', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  const path = join(directory, `.concordat-doctor-${process.pid}`)
  const fd = await openAsync(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600)
  await unlinkAsync(path)
  return fd
}

function summarize(times: readonly number[]): WriteTimes {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? 0
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? 0 }
}

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import type { Txid } from '../../src/base/index.ts'
import type { Knowledge } from '../../src/txn/index.ts'

// Reads what make-fixtures.mjs wrote. README.md beside this file says what is in it.

/** What one directory leads a ledger to. */
export interface ExpectedState {
  /** Log entries that carry commands. */
  readonly applied: number
  readonly digest: string
  readonly counts: Readonly<Record<string, number>>
  readonly outcomes: Readonly<Record<Txid, Knowledge>>
}

export interface ExpectedNode {
  readonly storeId: string
  readonly currentTerm: number
  readonly votedFor: number | undefined
  readonly lastIndex: number
}

export interface Expected {
  readonly cluster: string
  readonly segmentBytes: number
  readonly protocol: string
  readonly fleet: ExpectedState & { readonly overwrittenUpTo: number; readonly nodes: readonly ExpectedNode[] }
  readonly embedded: ExpectedState & { readonly storeId: string }
  readonly torn: ExpectedState & { readonly tornTxid: Txid }
}

export interface FrameFixture {
  readonly kind: string
  readonly hex: string
  readonly message: object
}

/** The folders of the releases that left fixtures. */
export function releases(): string[] {
  return readdirSync(here('.'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}

export function expectedOf(release: string): Expected {
  return readJson(release, 'expected.json') as Expected
}

export function framesOf(release: string): FrameFixture[] {
  return readJson(release, 'frames.json') as FrameFixture[]
}

/** Puts a data directory of that release where it can be opened and written to. */
export function unpack(release: string, name: string, into: string): string {
  const directory = join(into, name)
  mkdirSync(directory, { recursive: true })
  for (const file of readdirSync(here(release, name))) {
    writeFileSync(join(directory, file.replace(/\.gz$/, '')), gunzipSync(readFileSync(here(release, name, file))))
  }
  return directory
}

function readJson(release: string, name: string): unknown {
  return JSON.parse(readFileSync(here(release, name), 'utf8'), (_, value) => {
    if (value === null) return undefined
    if (typeof value === 'object' && typeof value.hex === 'string' && Object.keys(value).length === 1)
      return Buffer.from(value.hex, 'hex')
    return value
  })
}

function here(...names: string[]): string {
  return fileURLToPath(new URL(names.join('/'), import.meta.url))
}

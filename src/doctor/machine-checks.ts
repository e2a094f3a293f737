import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toError } from '../base/index.ts'
import type { ServerConfig } from '../server/index.ts'
import { timeDurableWrites, type WriteTimes } from './disk-probe.ts'
import { type Finding, Findings } from './finding.ts'

/** statfs types of file systems in memory: tmpfs, ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])
/** Files of the log that are made in advance. */
const AHEAD_BYTES = 50e6
const DAY_MS = 86_400_000
/** A certificate that ends sooner than this is worth a word, days. */
const RENEW_DAYS = 30

/** What is checked on the machine where the command runs: the disk of the data directory, and the TLS files. */
export async function checkMachine(config: ServerConfig, nowMs: number): Promise<readonly Finding[]> {
  return [...(await checkDisk(config)), ...checkTls(config, nowMs)]
}

async function checkDisk(config: ServerConfig): Promise<readonly Finding[]> {
  const findings = new Findings('data directory')
  const directory = nearestExisting(config.data)
  if (directory !== config.data)
    findings.warning(
      'dataMissing',
      `${config.data} is not there; what follows is about ${directory}.`,
      'Fine before the first start. Otherwise run this where the coordinator runs, or correct data in the configuration.',
    )
  try {
    await checkRoom(directory, config, findings)
    judgeWrites(await timeDurableWrites(directory), config, findings)
  } catch (thrown) {
    const error = toError(thrown) as NodeJS.ErrnoException
    findings.error(
      'diskUnusable',
      `A durable write in ${directory} fails (${error.code ?? error.message}).`,
      'Check the path, its rights and the disk; run this as the user that the coordinator runs as.',
    )
  }
  return findings.found
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path))
}

async function checkRoom(directory: string, { snapshots }: ServerConfig, findings: Findings): Promise<void> {
  const { type, bavail, bsize } = await statfs(directory)
  if (IN_MEMORY.has(type))
    findings.error(
      'diskInMemory',
      `${directory} is in memory: when the machine stops, this node forgets its votes.`,
      'Put data on a disk.',
    )
  const free = bavail * bsize
  const wanted = snapshots.bytes + snapshots.tailBytes + AHEAD_BYTES
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`
  if (free < wanted)
    findings.warning(
      'diskNearlyFull',
      `${gigabytes(free)} are free, and a log may grow by ${gigabytes(wanted)}: on a full disk no new transaction is taken.`,
      'Make room, or give the data directory a larger disk.',
    )
  else findings.ok('diskRoom', `${gigabytes(free)} are free.`)
}

/** Every decision waits for a durable write on a majority, and a leader whose disk stands still hands over. */
function judgeWrites({ p50Ms, p99Ms, maxMs, count }: WriteTimes, { raft }: ServerConfig, findings: Findings): void {
  const ms = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(0))
  const what = `a durable write of 4 KiB takes ${ms(p50Ms)} ms (median of ${count}; p99 ${ms(p99Ms)}, longest ${ms(maxMs)})`
  const advice = 'Give the data directory a disk of its own, and a quicker one: every decision waits for such a write.'
  if (p50Ms > raft.electionTimeoutMs / 2)
    findings.error(
      'diskTooSlow',
      `${what}, and the election timeout is ${raft.electionTimeoutMs} ms: the leadership can't stay here.`,
      advice,
    )
  else if (p50Ms > raft.heartbeatMs || p99Ms > raft.electionTimeoutMs)
    findings.warning('diskSlow', `${what}: decisions are slow, and the leadership moves away at times.`, advice)
  else findings.ok('diskLatency', `${what.charAt(0).toUpperCase()}${what.slice(1)}.`)
}

function checkTls({ tls }: ServerConfig, nowMs: number): readonly Finding[] {
  const findings = new Findings('TLS')
  if (tls === undefined) {
    findings.ok('tlsOff', 'No TLS: this node listens on loopback only, so the whole fleet is on one machine.')
    return findings.found
  }
  if (tls.ca === undefined)
    findings.warning(
      'tlsOneSided',
      'tls.ca is missing: whoever reaches the port may decide transactions, with any certificate or none.',
      'Set tls.ca to the authority of your nodes and clients.',
    )
  if (!isReadable(tls.key, findings)) return findings.found
  for (const [key, file] of Object.entries({ cert: tls.cert, ca: tls.ca })) {
    if (file !== undefined && isReadable(file, findings)) checkCertificate(key, file, nowMs, findings)
  }
  return findings.found
}

function isReadable(file: string, findings: Findings): boolean {
  try {
    readFileSync(file)
    return true
  } catch (error) {
    findings.error(
      'tlsUnreadable',
      `${file} can't be read (${toError(error).message}).`,
      'Check the path and its rights.',
    )
    return false
  }
}

function checkCertificate(key: string, file: string, nowMs: number, findings: Findings): void {
  try {
    const { validFrom, validTo } = new X509Certificate(readFileSync(file))
    const days = Math.floor((Date.parse(validTo) - nowMs) / DAY_MS)
    if (Date.parse(validFrom) > nowMs)
      findings.error(
        'certificateNotYet',
        `tls.${key} (${file}) is valid only from ${validFrom}.`,
        "Check this machine's clock.",
      )
    else if (days < 0)
      findings.error(
        'certificateExpired',
        `tls.${key} (${file}) was valid until ${validTo}.`,
        'Renew it and restart the node.',
      )
    else if (days < RENEW_DAYS)
      findings.warning(
        'certificateEnds',
        `tls.${key} (${file}) is valid for ${days} more days.`,
        'Renew it and restart the node.',
      )
    else findings.ok('certificate', `tls.${key} is valid until ${validTo}.`)
  } catch (error) {
    findings.error(
      'certificateUnreadable',
      `tls.${key} (${file}) is no certificate (${toError(error).message}).`,
      'Give a PEM file.',
    )
  }
}

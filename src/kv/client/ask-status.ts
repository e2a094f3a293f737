import { systemClock, toError } from '../../base/index.ts'
import { type Connection, dial, type Endpoint, type TlsOptions, tcpNetwork } from '../../transport/index.ts'
import type { InDoubtBranch } from '../engine/in-doubt.ts'
import { type KvError, unavailable } from './errors.ts'
import { kvHello, RemoteLine } from './remote-line.ts'

/** What a key-value participant says of itself. */
export interface KvStatus {
  readonly name: string
  readonly cluster: string
  readonly uptimeMs: number
  readonly connections: number
  /** Branches at work, without a vote. */
  readonly open: number
  /** Transactions that hold or want a lock. */
  readonly transactions: number
  readonly log: { readonly bytesOnDisk: number; readonly spaceLow: boolean }
  readonly residentBytes: number
  /** Voted, and not yet told the decision; the oldest vote first, and at most a thousand of them. */
  readonly inDoubt: readonly (InDoubtBranch & { readonly ageMs: number })[]
  /** How many are in doubt. */
  readonly inDoubtCount: number
}

/** Asks a participant about itself. @throws KvError (KV_UNAVAILABLE) */
export async function askKvStatus(
  endpoint: Endpoint,
  { timeoutMs, tls }: { readonly timeoutMs: number; readonly tls?: TlsOptions },
): Promise<KvStatus> {
  const connection = await connect(endpoint, timeoutMs, tls)
  const line = new RemoteLine('', connection)
  connection.onMessage = (message) => line.receive(message)
  connection.onClose = (reason) => line.lost(reason)
  const timer = systemClock.after(timeoutMs, () => connection.close(`it did not answer within ${timeoutMs} ms`))
  try {
    const answer = await line.call({ kind: 'status' })
    if (answer.kind !== 'text') throw new Error(`it answered "${answer.kind}"`)
    return JSON.parse(answer.text) as KvStatus
  } catch (thrown) {
    throw unreached(endpoint, thrown)
  } finally {
    systemClock.cancel(timer)
    connection.close('the question is answered')
  }
}

async function connect({ host, port }: Endpoint, timeoutMs: number, tls: TlsOptions | undefined): Promise<Connection> {
  try {
    return await dial({
      network: tcpNetwork(tls),
      host,
      port,
      clock: systemClock,
      limits: { connectTimeoutMs: timeoutMs, handshakeTimeoutMs: timeoutMs },
      // Whatever its name is.
      hello: kvHello('', undefined),
    })
  } catch (thrown) {
    throw unreached({ host, port }, thrown)
  }
}

function unreached({ host, port }: Endpoint, cause: unknown): KvError {
  return unavailable('', `${host}:${port}`, toError(cause).message, cause)
}

import type { Txid } from '../base/index.ts'
import type { CoordinatorPort } from '../coordinator/index.ts'
import type { Evidence } from '../resources/index.ts'
import type { Background } from './background.ts'
import { DEFAULTS } from './defaults.ts'
import type { Enlistment } from './enlistment.ts'
import type { Settlement, Settler } from './settler.ts'
import { StoreEnlistment } from './store-enlistment.ts'

/** What a watch needs. */
export interface InDoubtWatchParts {
  readonly port: CoordinatorPort
  readonly settler: Settler
  readonly background: Background
  readonly clusterId: () => Settlement['clusterId'] | undefined
}

/** Lone branches in doubt that are remembered, at most; the oldest is forgotten first. */
const LONE_MAX = 1_000

/** Goes on asking about transactions whose commit request got no answer, and finishes their branches once it is known. */
export class InDoubtWatch {
  readonly #parts: InDoubtWatchParts
  readonly #lone = new Map<Txid, Enlistment | StoreEnlistment>()

  constructor(parts: InDoubtWatchParts) {
    this.#parts = parts
  }

  /** Takes over the branches of a transaction in doubt. Ends at `close()`; the coordinators' resolver then does it. */
  watch(settlement: Settlement): void {
    const { port, settler, background } = this.#parts
    const { clusterId, txid, enlistments } = settlement
    // This process may never reach a coordinator again: let the resolver have the branches.
    settler.handOver(enlistments)
    background.repeat({ txid, work: 'inquire' }, async () => {
      // With `settle` the answer is final even if the commit request is still on its way: the first decision wins (P2).
      const reply = await port.inquire({ clusterId, txid, settle: true }, DEFAULTS.outcomeTimeoutMs)
      if (reply.kind === 'refused') return false
      const { kind } = reply.outcome
      // Forgotten and still prepared here: only an aborted transaction is forgotten before its branches acknowledge.
      if (kind === 'committed') await settler.finish(settlement, 'commit')
      else if (kind === 'aborted' || kind === 'forgotten') await settler.finish(settlement, 'abort')
      else return false
      return true
    })
  }

  /** Notes a one-phase commit without an answer: only its database knows, so only this process can tell whom to ask. */
  rememberLone(txid: Txid, enlistment: Enlistment | StoreEnlistment): void {
    this.#lone.set(txid, enlistment)
    const [oldest] = this.#lone.keys()
    if (this.#lone.size > LONE_MAX && oldest !== undefined) this.#lone.delete(oldest)
  }

  /** What the one database or store of `txid` can prove; undefined when it is not such a transaction. */
  async askLone(txid: Txid): Promise<Evidence | undefined> {
    const enlistment = this.#lone.get(txid)
    const cluster = this.#parts.clusterId()
    if (enlistment === undefined || cluster === undefined) return undefined
    if (enlistment instanceof StoreEnlistment) return enlistment.evidence(txid, DEFAULTS.outcomeTimeoutMs)
    const { branchId: branch, resource, evidence } = enlistment
    return resource.inDoubt.evidence({ cluster, txid, branch }, evidence)
  }
}

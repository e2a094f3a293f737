import type { ClientEvent, EventType, History, Operation, Scalar } from './events.ts'

type PorcupineOperation =
  | readonly ['append', Scalar, Scalar]
  | readonly ['r', Scalar]
  | readonly ['r', Scalar, readonly Scalar[]]

/** One line of the file: an event as Porcupine's `Event` has it, with what a list-append model needs as its value. */
interface PorcupineLine {
  /** Puts a call and its return together. From 0. */
  readonly id: number
  /** From 0, and used again by transactions that come later, as Porcupine's pictures want it. */
  readonly client: number
  readonly kind: 'call' | 'return'
  readonly time: number
  /** Of a return: `ok`, or `unknown`: it may have happened, or may not. */
  readonly result?: 'ok' | 'unknown'
  /** Of a return that is `ok`: with what was read. */
  readonly ops?: readonly PorcupineOperation[]
}

/**
 * A history for Porcupine: JSON, one event a line, in the order of the history. It has no events for what failed, because a
 * model has no use for what did not happen; faults are left out, too. What has an unknown end returns, as `unknown`, behind
 * everything else: until then it may happen at any moment.
 */
export function* porcupineLines(history: History): Generator<string> {
  const ends = endsOf(history)
  const open = new Map<number, { readonly id: number; readonly client: number }>()
  const unknown: { readonly id: number; readonly client: number }[] = []
  const clients: boolean[] = []
  let ids = 0
  let lastNs = 0
  for (const event of history) {
    lastNs = event.timeNs
    if (event.kind === 'fault') continue
    if (event.type === 'invoke') {
      const end = ends.get(event.index) ?? 'info'
      if (end === 'fail') continue
      const call = { id: ids++, client: freeClient(clients) }
      if (end === 'ok') open.set(event.process, call)
      else unknown.push(call)
      yield line({ ...call, kind: 'call', time: event.timeNs, ops: event.operations.map(operationOf) })
    } else if (event.type === 'ok') {
      const call = open.get(event.process)
      if (call === undefined) continue
      open.delete(event.process)
      clients[call.client] = false
      yield line({ ...call, kind: 'return', time: event.timeNs, result: 'ok', ops: event.operations.map(operationOf) })
    }
  }
  for (const call of unknown) yield line({ ...call, kind: 'return', time: lastNs + 1, result: 'unknown' })
}

/** By the index of an invocation: how it ended. */
function endsOf(history: History): ReadonlyMap<number, EventType> {
  const ends = new Map<number, EventType>()
  const open = new Map<number, ClientEvent>()
  for (const event of history) {
    if (event.kind === 'fault') continue
    const invocation = open.get(event.process)
    if (event.type === 'invoke') open.set(event.process, event)
    else if (invocation !== undefined) ends.set(invocation.index, event.type)
  }
  return ends
}

/** The lowest number that nobody has. */
function freeClient(clients: boolean[]): number {
  const found = clients.indexOf(false)
  const client = found < 0 ? clients.length : found
  clients[client] = true
  return client
}

function operationOf(operation: Operation): PorcupineOperation {
  if (operation.kind === 'append') return ['append', operation.key, operation.value]
  return operation.list === undefined ? ['r', operation.key] : ['r', operation.key, operation.list]
}

function line(value: PorcupineLine): string {
  return `${JSON.stringify(value)}\n`
}

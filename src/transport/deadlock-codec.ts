import { BRANCHES_MAX, type ByteReader, type ByteWriter, CodecError } from '../base/index.ts'
import { readBranchId, readFlag, readTxid, writeFlag, writeMessageText, writeTxid } from './fields.ts'
import { type ClientMessage, type ServerMessage, WAITS_MAX, type WaitingTransaction } from './messages.ts'

type OfClient<Kind extends ClientMessage['kind']> = Extract<ClientMessage, { kind: Kind }>
type OfServer<Kind extends ServerMessage['kind']> = Extract<ServerMessage, { kind: Kind }>

export function writeWaiting(writer: ByteWriter, { transactions }: OfClient<'waiting'>): void {
  writeList(writer, transactions, ({ txid, isDying, branches }) => {
    writeTxid(writer, txid)
    writeFlag(writer, isDying)
    if (branches.length > BRANCHES_MAX) throw new CodecError(`${branches.length} branches in one transaction`)
    writer.u8(branches.length)
    for (const { branch, participant, session, statement } of branches) {
      writer.u8(branch)
      writer.text(participant)
      writer.text(session)
      writer.u53(statement)
    }
  })
}

export function readWaiting(reader: ByteReader): OfClient<'waiting'> {
  return { kind: 'waiting', transactions: readList(reader, () => readTransaction(reader)) }
}

function readTransaction(reader: ByteReader): WaitingTransaction {
  const [txid, isDying, count] = [readTxid(reader), readFlag(reader), reader.u8()]
  if (count > BRANCHES_MAX) throw new CodecError(`${count} branches; a transaction has at most ${BRANCHES_MAX}`)
  const branches = Array.from({ length: count }, () => ({
    branch: readBranchId(reader),
    participant: reader.text(),
    session: reader.text(),
    statement: reader.u53(),
  }))
  return { txid, isDying, branches }
}

export function writeLockWaits(writer: ByteWriter, { waits }: OfClient<'lockWaits'>): void {
  writeList(writer, waits, ({ txid, wait, blockers }) => {
    writeTxid(writer, txid)
    writer.u53(wait)
    writeList(writer, blockers, (blocker) => writeTxid(writer, blocker))
  })
}

export function readLockWaits(reader: ByteReader): OfClient<'lockWaits'> {
  const waits = readList(reader, () => ({
    txid: readTxid(reader),
    wait: reader.u53(),
    blockers: readList(reader, () => readTxid(reader)),
  }))
  return { kind: 'lockWaits', waits }
}

export function writeDeadlock(writer: ByteWriter, message: OfServer<'deadlock'>): void {
  writeTxid(writer, message.txid)
  writer.u8(message.branch)
  writer.u53(message.statement)
  writeMessageText(writer, message.circle)
}

export function readDeadlock(reader: ByteReader): OfServer<'deadlock'> {
  return {
    kind: 'deadlock',
    txid: readTxid(reader),
    branch: readBranchId(reader),
    statement: reader.u53(),
    circle: reader.text(),
  }
}

function writeList<T>(writer: ByteWriter, items: readonly T[], write: (item: T) => void): void {
  if (items.length > WAITS_MAX) throw new CodecError(`a list of ${items.length}; ${WAITS_MAX} are the most`)
  writer.u16(items.length)
  for (const item of items) write(item)
}

function readList<T>(reader: ByteReader, read: () => T): T[] {
  const count = reader.u16()
  if (count > WAITS_MAX) throw new CodecError(`a list of ${count}; ${WAITS_MAX} are the most`)
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read())
  return items
}

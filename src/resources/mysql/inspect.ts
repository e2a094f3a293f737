import type { ClusterId } from '../../base/index.ts'
import { type Blocked, type InDoubtReport, NOTHING_BLOCKED } from '../inspection.ts'
import { type InnodbBlocking, innodbBlocking, metadataWaiters } from './blocking.ts'
import { type Run, recover } from './settle.ts'
import { ownBranches } from './xid.ts'

/**
 * The prepared branches of `cluster` on this server, and what they block.
 *
 * InnoDB does not tell which of its transactions has which xid, so what is blocked belongs to a branch for certain only
 * when one single branch is prepared.
 */
export async function inspectMysql(run: Run, cluster: ClusterId): Promise<InDoubtReport> {
  const rows = await recover(run)
  const branches = ownBranches(rows, cluster)
  const rest = { slots: undefined, foreign: { here: rows.length - branches.length, elsewhere: 0 } }
  if (rows.length === 0) return { ...rest, branches: [], unattributed: NOTHING_BLOCKED, notes: [] }

  const version = String((await run('SELECT VERSION() AS version'))[0]?.version)
  const isMariadb = /mariadb/i.test(version)
  const blocking = await innodbBlocking(run, isMariadb)
  const isCertain = rows.length === 1 && branches.length === 1 && blocking?.prepared === 1
  const { prepared: _, owners: __, ...found } = blocking ?? { ...NOTHING_BLOCKED, prepared: 0, owners: [] }
  const own: Blocked = isCertain ? found : NOTHING_BLOCKED
  return {
    ...rest,
    branches: branches.map((branch) => ({ ...branch, ...own, owner: undefined, vacuum: undefined })),
    unattributed: isCertain ? NOTHING_BLOCKED : found,
    notes: notesOf(blocking, isMariadb, await metadataWaiters(run)),
  }
}

function notesOf(blocking: InnodbBlocking | undefined, isMariadb: boolean, waiters: readonly number[]): string[] {
  const notes: string[] = []
  if (blocking === undefined)
    notes.push("what is blocked can't be seen: the coordinators' user lacks rights; GRANT PROCESS ON *.* shows it")
  else if (isMariadb && blocking.tableCount > blocking.tables.length)
    notes.push('MariaDB names a locked table only while somebody waits for it')
  const owners = isMariadb ? (blocking?.owners ?? []) : []
  if (owners.length > 0)
    notes.push(
      `prepared by ${sessions(owners.toSorted((a, b) => a - b))}, still connected: as a rule the application is about to end these branches, and meanwhile MariaDB lets nobody else; where it hangs, KILL CONNECTION frees its branch`,
    )
  if (waiters.length > 0) {
    notes.push(
      `${sessions(waiters)} ${waiters.length === 1 ? 'waits' : 'wait'} for a metadata lock; the server does not say whether a prepared branch has it`,
    )
  }
  return notes
}

function sessions(ids: readonly number[]): string {
  return `${ids.length === 1 ? 'session' : 'sessions'} ${ids.join(', ')}`
}

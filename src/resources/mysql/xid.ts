import { type ClusterId, type Gid, parseGid } from '../../base/index.ts'
import type { BranchIdentity, PreparedBranch } from '../resource.ts'

/** The XA format id of ours; other transaction managers' branches have other prefixes or formats. */
const FORMAT_ID = 1

/** The xid as XA statements take it: gtrid `cdt_<cluster>_<txid>`, bqual `<n>`. Its characters are safe inside quotes. */
export function xidLiteral({ cluster, txid, branch }: BranchIdentity): string {
  return `'cdt_${cluster}_${txid}','${branch}',${FORMAT_ID}`
}

/** A row of XA RECOVER. Its data is gtrid and bqual without a separator, and arrives as a Buffer. */
export interface RecoverRow {
  readonly formatID: number
  readonly gtrid_length: number
  readonly bqual_length: number
  readonly data: Buffer | string
}

/** The branches of `cluster` among the prepared ones; others' are left out. */
export function ownBranches(rows: readonly RecoverRow[], cluster: ClusterId): PreparedBranch[] {
  return rows.flatMap((row) => {
    const gid = gidOf(row)
    const identity = gid === undefined ? undefined : parseGid(gid)
    if (identity === undefined || identity.cluster !== cluster) return []
    return [{ gid: gid as Gid, ...identity, ageMs: undefined }]
  })
}

/** Whether `gid` is among the prepared branches. */
export function isListed(rows: readonly RecoverRow[], gid: Gid): boolean {
  return rows.some((row) => gidOf(row) === gid)
}

function gidOf({ formatID, gtrid_length: length, data }: RecoverRow): string | undefined {
  if (Number(formatID) !== FORMAT_ID) return undefined
  const text = typeof data === 'string' ? data : data.toString('latin1')
  return `${text.slice(0, Number(length))}_${text.slice(Number(length))}`
}

import type { Clock } from '../../base/index.ts'
import { ambientTransaction } from '../ambient/context.ts'
import { calling, facade, inContext, type Method } from '../ambient/facade.ts'
import { Lending, type Lent } from '../ambient/lending.ts'
import type { Resource } from '../resource.ts'
import { isSubmittable, textOf } from './pg-session.ts'
import type { PgClientShape, PgQueryShape } from './pg-shapes.ts'

const NOTHING = { command: '', rowCount: null, oid: 0, rows: [], fields: [] }

/**
 * A pg pool whose `query` and `connect` work in the transaction around the call. Outside of one it is the pool itself.
 *
 * @param resource the same pool's
 */
export function ambientPgPool<Pool extends object>(pool: Pool, resource: Resource<unknown>, clock: Clock): Pool {
  const lending = new Lending<PgClientShape>({
    resource: resource as Resource<PgClientShape>,
    clock,
    send: (session, sql) => session.query(sql),
    nothing: NOTHING,
  })
  const plain = pool as Record<'query' | 'connect', Method>
  const query = (...args: unknown[]): unknown => {
    const tx = ambientTransaction()
    if (tx === undefined) return plain.query(...inContext(args))
    return calling(args, (...rest) => lending.run(tx, textOf(rest[0]), (session) => (session.query as Method)(...rest)))
  }
  const connect = (...args: unknown[]): unknown => {
    const tx = ambientTransaction()
    if (tx === undefined) return plain.connect(...inContext(args))
    const lend = async (): Promise<PgClientShape> => lentClient(await lending.lend(tx))
    return calling(args, lend, (client) => [client, (client as PgClientShape).release])
  }
  return facade(pool, { query, connect })
}

/** The branch's client as a pool would hand it out. */
function lentClient({ session, lease }: Lent<PgClientShape>): PgClientShape {
  const send = session.query as Method
  const query = (...args: unknown[]): unknown => {
    const [config] = args
    if (isSubmittable(config)) return submit(config, args)
    return calling(args, (...rest) => lease.run(textOf(config), () => send(...rest)))
  }
  const submit = (config: PgQueryShape, args: unknown[]): unknown => {
    try {
      lease.assertFree()
    } catch (error) {
      process.nextTick(() => config.handleError(error, session.connection))
      return config
    }
    return send(...args)
  }
  return facade(session, { query, release: () => lease.release() })
}

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { pgDriver } from './pg-driver.ts'
import type { PgPoolShape } from './pg-shapes.ts'

/** The server's messages (PostgreSQL, "Message Formats"). */
const AUTHENTICATION_OK = Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1')
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1')

function fatal(sqlState: string, text: string): Buffer {
  const fields = Buffer.from(`SFATAL\0VFATAL\0C${sqlState}\0M${text}\0\0`, 'latin1')
  const head = Buffer.alloc(5)
  head.write('E', 'latin1')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

let server: Server | undefined
let pool: pg.Pool | undefined
afterEach(async () => {
  await pool?.end()
  server?.close()
})

async function poolOn(answer: Buffer): Promise<PgPoolShape> {
  server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  pool = new pg.Pool({ host: '127.0.0.1', port, user: 'a', database: 'a', max: 1 })
  pool.on('error', () => {})
  return pool as unknown as PgPoolShape
}

test('a session that ends in the packet that opened it is lost, and does not end the process', async () => {
  // What a shutdown sends to a session that is just being opened (SQLSTATE 57P01, admin_shutdown).
  const shutdown = fatal('57P01', 'terminating connection due to administrator command')
  const driver = pgDriver(await poolOn(Buffer.concat([AUTHENTICATION_OK, READY_FOR_QUERY, shutdown])))
  const session = await driver.acquire()
  expect(session.lost).toMatchObject({ code: '57P01' })
  await expect(session.run('select 1')).rejects.toMatchObject({ code: '57P01' })
  session.discard()
})

test('a session that is refused is the caller’s to hear of', async () => {
  const driver = pgDriver(await poolOn(fatal('57P03', 'the database system is shutting down')))
  await expect(driver.acquire()).rejects.toMatchObject({ code: '57P03' })
})

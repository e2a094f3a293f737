import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { findMariadb, type LocalServer, LocalServerFailedError, LocalServers, MARIADB_INSTALL_HINT } from './index.ts'

const servers = new LocalServers()
afterAll(() => servers.close())

async function ask(server: LocalServer, sql: string): Promise<Record<string, unknown>[]> {
  if (server.kind === 'postgres') {
    const client = new pg.Client(server.url())
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }
  const connection = await mysql2.createConnection(server.url())
  try {
    return (await connection.query(sql))[0] as Record<string, unknown>[]
  } finally {
    await connection.end()
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const start = {
  postgres: (group: LocalServers) => group.startPostgres(),
  mariadb: (group: LocalServers) => group.startMariadb(),
}
const kinds = ['postgres', 'mariadb'] as const
const absent = (kind: string): boolean => kind === 'mariadb' && findMariadb() === undefined

for (const kind of kinds) {
  const title = absent(kind) ? `${kind} (skipped: run "${MARIADB_INSTALL_HINT}")` : kind
  describe.skipIf(absent(kind))(title, () => {
    test('keeps its data and port over kill -9 and over a clean restart, and is gone after stop', async () => {
      const server = await start[kind](servers)
      const { port, pid } = server
      await ask(server, 'CREATE TABLE t (k int)')
      await ask(server, 'INSERT INTO t VALUES (7)')
      await server.kill()
      expect(server.pid).toBeUndefined()
      await server.restart()
      expect(server.port).toBe(port)
      expect(server.pid).not.toBe(pid)
      await server.restart()
      expect(await ask(server, 'SELECT k FROM t')).toEqual([{ k: 7 }])
      await server.stop()
      await server.stop()
      await expect(ask(server, 'SELECT 1')).rejects.toThrow()
      await expect(server.restart()).rejects.toThrow(LocalServerFailedError)
    })

    test('a second server is apart from the first', async () => {
      const [first, second] = await Promise.all([start[kind](servers), start[kind](servers)])
      expect(first.port).not.toBe(second.port)
      await ask(first, 'CREATE TABLE only_here (k int)')
      await expect(ask(second, 'SELECT * FROM only_here')).rejects.toThrow()
      await Promise.all([first.stop(), second.stop()])
    })
  })
}

test('commits are synchronous, and settings reach the server', async () => {
  const server = await servers.startPostgres({ settings: { max_prepared_transactions: '5' } })
  expect(await ask(server, 'SHOW max_prepared_transactions')).toEqual([{ max_prepared_transactions: '5' }])
  expect(await ask(server, 'SHOW fsync')).toEqual([{ fsync: 'on' }])
  expect(await ask(server, 'SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'on' }])
  await server.stop()
})

test('a server that refuses to start says why, and the group still closes', async () => {
  const group = new LocalServers()
  await expect(group.startPostgres({ settings: { no_such_setting: '1' } })).rejects.toThrow(/no_such_setting/)
  await group.close()
})

test('servers and their folder go when the process that started them is killed with SIGKILL', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cdt-test-'))
  chmodSync(folder, 0o755)
  const index = fileURLToPath(new URL('index.ts', import.meta.url))
  const script = join(folder, 'parent.mts')
  writeFileSync(
    script,
    `import { startPostgres } from ${JSON.stringify(index)}\n` +
      `const server = await startPostgres()\nconsole.log(JSON.stringify({ pid: server.pid }))\nsetInterval(() => {}, 1000)\n`,
  )
  const parent = spawn(process.execPath, ['--import', 'tsx', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(parent.stdout, 'data')) as [Buffer]
  const { pid } = JSON.parse(line.toString()) as { pid: number }
  expect(isAlive(pid)).toBe(true)
  const serverFolder = readdirSync(folder).find((name) => name.startsWith('cdt-'))!
  expect(serverFolder).toBeDefined()
  parent.kill('SIGKILL')
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false)
  await expect.poll(() => existsSync(join(folder, serverFolder)), { timeout: 10_000 }).toBe(false)
  rmSync(folder, { recursive: true })
})

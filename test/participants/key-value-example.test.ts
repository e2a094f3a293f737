import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { LocalServers } from '../../src/localdb/index.ts'
import { Fleet, freePorts } from '../support/fleet.support.ts'
import { concordat, plainEnvironment, program, root } from '../support/program.support.ts'
import { until } from '../support/waiting.support.ts'

const EXAMPLES = join(root, 'examples/key-value')

test.each(['accounts.yaml', 'payment.mjs'])('docs/key-value.md shows %s as it is', (file) => {
  const page = readFileSync(join(root, 'docs/key-value.md'), 'utf8')
  expect(page).toContain(readFileSync(join(EXAMPLES, file), 'utf8'))
})

function run(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn(process.execPath, args, {
    env: { ...plainEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

test('the example books a seat and takes the money together, or neither, also when the participant is killed', async () => {
  const servers = new LocalServers()
  onTestFinished(() => servers.close())
  const [fleet, database, [port]] = await Promise.all([
    Fleet.start({ cluster: 'trips', config: { participants: ['accounts'] } }),
    servers.startPostgres(),
    freePorts(1),
  ])
  const ACCOUNTS = `127.0.0.1:${port}`
  const config = join(fleet.directory, 'accounts.yaml')
  copyFileSync(join(EXAMPLES, 'accounts.yaml'), config)
  // A port that is free here; all the rest is as the page shows it.
  writeFileSync(config, readFileSync(config, 'utf8').replace('127.0.0.1:7500', ACCOUNTS))
  const [COORDINATOR_1 = '', COORDINATOR_2 = '', COORDINATOR_3 = ''] = fleet.addresses
  const startParticipant = async (): Promise<ChildProcess> => {
    const env = { COORDINATOR_1, COORDINATOR_2, COORDINATOR_3 }
    const child = run([program(), 'participant', 'kv', '--config', config, '--log-level', 'error'], env)
    const answers = async () => (await concordat(['participant', 'status', '--address', ACCOUNTS])).code === 0
    await until('the participant answers', answers)
    return child
  }
  const book = async (who: string, amount: number): Promise<string> => {
    const env = { COORDINATORS: fleet.addresses.join(','), DATABASE: database.url(), ACCOUNTS }
    const child = run([join(EXAMPLES, 'payment.mjs'), who, String(amount)], env)
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    await once(child, 'close')
    expect(child.exitCode, output).toBe(0)
    return output
  }

  const first = await startParticipant()
  expect(await book('ada', 40)).toBe('booked; 60 left\n')
  // The seat is taken, so the database refuses, and the money stays.
  expect(await book('ada', 10)).toMatch(/^not booked: duplicate key/)
  expect(await book('bob', 101)).toMatch(/^not booked: .*balance\/bob would hold -1/)
  first.kill('SIGKILL')
  await once(first, 'close')
  const second = await startParticipant()
  expect(await book('bob', 100)).toBe('booked; 0 left\n')
  second.kill('SIGTERM')
  await once(second, 'close')
  expect(second.exitCode).toBe(0)
})

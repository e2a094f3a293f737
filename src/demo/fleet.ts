import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { CLUSTER, type Places } from './companies.ts'
import { Part } from './part.ts'

/** The `concordat` command. */
export const PROGRAM = fileURLToPath(new URL('../cli/main.js', import.meta.url))

/** Three coordinators as an operator would run them: `concordat serve --config FILE`, each a process of its own. */
export class Fleet {
  readonly addresses: readonly string[]
  /** In the order of their node ids, from 1. */
  readonly parts: readonly Part[]

  /** Starts them. */
  constructor(directory: string, places: Places, ticketsSecret: string, onUnexpectedEnd: (line: string) => void) {
    this.addresses = places.coordinators
    const members = this.addresses.map((address, index) => ({ id: index + 1, address }))
    this.parts = members.map(({ id }) => {
      const home = join(directory, `coordinator-${id}`)
      mkdirSync(home, { recursive: true })
      const configFile = join(home, 'concordat.yaml')
      writeFileSync(configFile, stringify(configOf(id, members, places, ticketsSecret)))
      const args = [PROGRAM, 'serve', '--config', configFile]
      return new Part({ name: `coordinator ${id}`, args, logFile: join(home, 'log') }, onUnexpectedEnd)
    })
    for (const part of this.parts) part.start()
  }

  /** The process of a node id. */
  partOf(id: number): Part {
    return this.parts[id - 1]!
  }

  /** Ends all of them as an operator would, then harder. */
  async stop(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.stop()))
  }
}

function configOf(
  node: number,
  members: readonly { readonly id: number; readonly address: string }[],
  { flights, hotels, tickets }: Places,
  ticketsSecret: string,
): object {
  const witness = hotels.kind === 'mysql' ? { witness: true } : {}
  return {
    cluster: CLUSTER,
    node,
    data: './data',
    members,
    resources: [
      { name: 'flights', kind: 'postgres', url: flights },
      { name: 'hotels', kind: hotels.kind, url: hotels.url, ...witness },
    ],
    participants: [{ name: 'payments' }, { name: 'tickets', url: `${tickets.url}/concordat`, secret: ticketsSecret }],
    resolver: { scanMs: 2_000, graceMs: 1_000 },
  }
}

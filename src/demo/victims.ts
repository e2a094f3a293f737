import type { LocalServer } from '../localdb/index.ts'
import type { Fleet } from './fleet.ts'
import type { Victim } from './killer.ts'
import type { Part } from './part.ts'
import type { Participants } from './participants.ts'
import type { World } from './world.ts'

/** All that can be killed but the applications. */
export function victimsOf(fleet: Fleet, participants: Participants, world: World): readonly Victim[] {
  return [
    ...fleet.parts.map((part) => partVictim(part, 'coordinator')),
    ...participants.parts.map((part) => partVictim(part, 'participant')),
    ...world.servers.map(([name, server]) => databaseVictim(name, server)),
  ]
}

function partVictim(part: Part, kind: Victim['kind']): Victim {
  return {
    name: part.name,
    kind,
    get isRunning() {
      return part.isRunning
    },
    kill: () => part.kill(),
    start: () => part.start(),
  }
}

/** The whole server, with every session. */
function databaseVictim(company: string, server: LocalServer): Victim {
  const product = server.kind === 'mariadb' ? 'MariaDB' : 'PostgreSQL'
  return {
    name: `the ${product} of ${company}`,
    kind: 'database',
    get isRunning() {
      return server.pid !== undefined
    },
    kill: () => server.kill(),
    start: () => server.restart(),
  }
}

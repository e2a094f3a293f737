import {
  FAILPOINT_NAMES,
  FAILPOINTS,
  type Failpoint,
  type FailpointComponent,
  REQUIRED_OUTCOMES,
} from '../../base/index.ts'
import { scenarioOf } from './scenarios.ts'
import { FOUR_WAYS, WAYS, type Way, waysOf } from './ways.ts'

/** Where the points of a component are tried. */
const TRIED: Readonly<Record<FailpointComponent, string>> = {
  coordinator: 'Tried in whole simulated fleets.',
  raft: 'Tried in whole simulated fleets.',
  wal: 'Tried in whole simulated fleets, where a coordinator dies.',
  client: 'Tried in whole simulated fleets with simulated databases.',
  database:
    'Tried in whole simulated fleets with simulated databases. Whoever sends the statement dies: an application, or a coordinator whose resolver sends it.',
  kv: 'Tried with the whole participant on a simulated disk and scripted coordinators.',
  service: 'Tried with a whole instance on a simulated disk and scripted coordinators.',
}

const TITLES: Readonly<Record<FailpointComponent, string>> = {
  coordinator: 'Coordinator (the Raft leader)',
  raft: 'Raft node',
  wal: 'Durable log',
  client: 'Application (client)',
  database: 'Database branch',
  kv: 'Key-value participant',
  service: 'Service participant',
}

/** What stands before it on the page is written by hand. */
export const PAGE_MARK = '<!-- generated: npm run crash-points -- --write-page -->'

/** The generated part of docs/crash-points.md: everything behind its mark. */
export function crashPointTables(): string {
  const words = Object.entries(WAYS).map(([way, text]) => `- **${way}**: ${text}`)
  const components = Object.keys(TITLES) as readonly FailpointComponent[]
  const counts = `${FAILPOINT_NAMES.length} points, ${countSimulated()} of them in whole simulated fleets.`
  return [counts, '', ...words, '', ...components.flatMap(tableOf)].join('\n')
}

function countSimulated(): number {
  return FAILPOINT_NAMES.filter((name) => scenarioOf(name) !== undefined).length
}

function tableOf(component: FailpointComponent): readonly string[] {
  const names = FAILPOINT_NAMES.filter((name) => FAILPOINTS[name].component === component)
  const columns: readonly Way[] = component === 'database' ? [...FOUR_WAYS, 'connection', 'server'] : FOUR_WAYS
  const rows = names.map((name) => {
    const point: Failpoint = FAILPOINTS[name]
    const cells = columns.map((way) => cellOf(point, way))
    return `| \`${name}\` | ${point.where} | ${outcomeOf(point)} | ${point.promises} | ${cells.join(' | ')} |`
  })
  const first = FAILPOINTS[names[0]!] as Failpoint
  const why = first.alone === undefined ? [] : [`Nobody takes over: ${first.alone}.`, '']
  return [
    `## ${TITLES[component]}`,
    '',
    TRIED[component],
    '',
    ...why,
    `| point | where | required outcome | promises | ${columns.join(' | ')} |`,
    `|---|---|---|---|${columns.map(() => '---|').join('')}`,
    ...rows,
    '',
  ]
}

function outcomeOf({ outcome, elsewhere }: Failpoint): string {
  const words = REQUIRED_OUTCOMES[outcome]
  return elsewhere === undefined ? words : `${words}; if the process lives: ${REQUIRED_OUTCOMES[elsewhere]}`
}

function cellOf(point: Failpoint, way: Way): string {
  return waysOf(point).includes(way) ? '✓' : 'no one'
}

import type { Settlement } from '../txn/index.ts'

/** How a branch ended. */
export const FOUND = { committed: 'committed', aborted: 'rolled back', none: 'ended, and no trace tells how' } as const

/** What was found of a branch, in a few words. */
export function describeFinding(found: keyof typeof FOUND): string {
  return found === 'none' ? FOUND.none : `found ${FOUND[found]}`
}

/** One settlement in a few words. */
export function describeSettlement({ action, found, standing, acknowledged }: Settlement): string {
  if (action === 'acknowledge') return `acknowledged: ${found === undefined ? 'an order' : FOUND[found]}`
  const seen = acknowledged ? ' (acknowledged)' : ''
  switch (standing) {
    case 'asDecided':
      return `${FOUND[found ?? 'none']}, as decided`
    case 'against':
      return `${FOUND[found ?? 'none']}, AGAINST the decision${seen}`
    case 'undecided':
      return `${FOUND[found ?? 'none']}, without a decision${seen}`
    case 'unclear':
      return `${FOUND.none}${seen}`
    default:
      return `to ${action}, not known to be carried out${seen}`
  }
}

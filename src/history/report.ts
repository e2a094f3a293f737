import type { Anomaly, Verdict } from './checker/verdict.ts'
import { named, operationsText } from './checker/words.ts'
import type { Transaction } from './transactions.ts'

/** A verdict for people: what was checked, and each anomaly with its transactions and why they contradict each other. */
export function verdictText({ valid, counts, anomalies, size }: Verdict): string {
  const { ok, fail, info, infoObserved, appends, appendsUnobserved, reads, keys } = size
  const head = valid ? 'The history is strictly serializable.' : 'The history is NOT strictly serializable.'
  const lines = [
    head,
    `  ${ok} transactions ok, ${fail} failed, ${info} unknown (of these ${infoObserved} seen to have happened)`,
    `  ${keys} keys, ${appends} appends (${appendsUnobserved} in no read), ${reads} reads`,
  ]
  for (const [kind, count] of Object.entries(counts)) lines.push(`  ${kind}: ${count}`)
  for (const anomaly of anomalies) lines.push('', ...anomalyLines(anomaly))
  return lines.join('\n')
}

/** A verdict for machines. Transactions are told by the index of their invocation. */
export function verdictJson({ anomalies, ...rest }: Verdict): object {
  return {
    ...rest,
    anomalies: anomalies.map(({ transactions, steps, ...anomaly }) => ({
      ...anomaly,
      transactions: transactions.map((transaction) => ({
        name: named(transaction),
        process: transaction.process,
        outcome: transaction.outcome,
        invoked: transaction.invoked,
        completed: transaction.completed,
        operations: operationsText(transaction.operations),
      })),
      steps: steps.map(({ from, to, kind, because }) => ({ from: named(from), to: named(to), kind, because })),
    })),
  }
}

function anomalyLines({ kind, what, transactions, steps }: Anomaly): readonly string[] {
  return [
    `${kind}: ${what}`,
    ...transactions.map((transaction) => `  ${transactionLine(transaction)}`),
    ...steps.map(({ from, to, kind: edge, because }) => `  ${named(from)} < ${named(to)} (${edge}): ${because}`),
    ...(steps.length === 0 ? [] : ['  so each comes before itself: no order explains what they saw']),
  ]
}

function transactionLine(transaction: Transaction): string {
  const { invoked, completed, process, outcome, operations } = transaction
  const until = completed === undefined ? 'unknown end' : `to ${completed}`
  return `${named(transaction)} = index ${invoked} ${until}, process ${process}, ${outcome}: ${operationsText(operations)}`
}

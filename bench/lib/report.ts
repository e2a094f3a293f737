/** What one benchmark found. */
export interface Report {
  /** Markdown: it is printed, and goes into docs/performance.md. */
  readonly text: string
  /** The same for machines. */
  readonly figures: object
}

/** What a benchmark is given. */
export interface Run {
  /** How long each figure is measured, in seconds. */
  readonly seconds: number
  /** Transactions of the memory and restart benchmarks. */
  readonly transactions: number
  /** How often the failover benchmark kills the leader. */
  readonly kills: number
  /** A fresh directory on the disk that is measured; removed afterwards. */
  readonly directory: string
  /** Where the measured processes leave CPU profiles. */
  readonly profile: string | undefined
}

/** A Markdown table that is also readable as it stands. The first column is left-aligned, the others right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

/** 1234567.8 → `1,234,568`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Milliseconds with three significant digits. */
export function ms(value: number): string {
  return `${value.toPrecision(3)} ms`
}

/** `×` with two decimals. */
export function times(value: number): string {
  return `${value.toFixed(2)} ×`
}

/** Tells the reader at the terminal what goes on. */
export function progress(text: string): void {
  console.error(`bench: ${text}`)
}

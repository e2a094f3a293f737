const CHARACTERS_MAX = 120

/** Quotes, dollar quotes, comments and numbers; not `$1`, not digits inside a name. */
const VALUE = /'|"|\$\w*\$|--|\/\*|#|(?<![\w$])\d/

/**
 * The beginning of a statement, up to the first thing that may be a value: an operator sees what kind of work waits,
 * and nobody's data leaves its database. Double quotes count as values: in MySQL they may be.
 *
 * @example
 * statementHead("update seats set taken_by = 'Ann' where id = 7") // 'update seats set taken_by = …'
 */
export function statementHead(text: string | null | undefined): string | undefined {
  if (text === null || text === undefined) return undefined
  const line = text.replace(/\s+/g, ' ').trim()
  const end = Math.min(VALUE.exec(line)?.index ?? line.length, CHARACTERS_MAX)
  const head = line.slice(0, end)
  if (head === '') return undefined
  return end < line.length ? `${head.trimEnd()} …` : head
}

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './built.ts'

const PAGE = join(root, 'docs/performance.md')

/** Replaces the generated section `name` of docs/performance.md. @throws Error when the page lacks its marks */
export function writeSection(name: string, text: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const [open, close] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`]
  const from = page.indexOf(open)
  const to = page.indexOf(close)
  if (from < 0 || to < from) throw new Error(`${PAGE} lacks ${open} … ${close}`)
  writeFileSync(PAGE, `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`)
}

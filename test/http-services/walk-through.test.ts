import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { freePorts } from '../support/fleet.support.ts'
import { root } from '../support/program.support.ts'
import { hasPython, PYTHON_EXAMPLE } from './http-services.support.ts'

const page = readFileSync(join(root, 'docs/http-services.md'), 'utf8')
const MARK = '--- next'

/** The page's commands in their order, each with the answer that it shows, if it shows one. */
function steps(): readonly { readonly commands: string; readonly shown: string | undefined }[] {
  const blocks = [...page.matchAll(/```(sh|json)\n([\s\S]*?)```/g)].map(([, kind, text = '']) => ({ kind, text }))
  return blocks.flatMap(({ kind, text }, index) => {
    const next = blocks[index + 1]
    return kind === 'sh' ? [{ commands: text, shown: next?.kind === 'json' ? next.text : undefined }] : []
  })
}

/** Times that are left are what they are; only that there is one is compared. */
function readAnswer(text: string): unknown {
  const json = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)
  return JSON.parse(json, (key, value: unknown) => (key === 'dueInMs' && value !== 0 ? 'some' : value))
}

const hasCurl = spawnSync('curl', ['--version']).status === 0
if (!hasCurl) console.warn('curl is not on this machine: the walk through docs/http-services.md is skipped')

test.skipIf(!hasPython || !hasCurl)('docs/http-services.md: its commands give the answers that it shows', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cdt-walk-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const [port] = await freePorts(1)
  const script = steps()
    .map(({ commands }) => `echo; echo '${MARK}'\n${commands}`)
    .join('')
    .replaceAll('8090', String(port))
    .replaceAll('examples/http-services/payments.py', PYTHON_EXAMPLE)
  // A script that stops half way must not leave its service behind.
  const guarded = `set -e\ntrap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT\n${script}`
  const { stdout, stderr, status } = spawnSync('bash', ['-c', guarded], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 25_000,
  })
  expect(status, stderr).toBe(0)
  const [, ...outputs] = stdout.split(MARK)
  const compared = steps().flatMap(({ shown, commands }, index) =>
    shown === undefined ? [] : [{ commands, shown, output: outputs[index] ?? '' }],
  )
  expect(compared.length).toBeGreaterThan(8)
  for (const { commands, shown, output } of compared) {
    expect(readAnswer(output), commands).toEqual(readAnswer(shown))
  }
})

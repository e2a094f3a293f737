import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const src = join(root, 'src')

interface Layer {
  readonly folder: string
  readonly pure: boolean
  readonly mayImport: readonly string[]
}

/** Rows of ARCHITECTURE.md's layer table: | `folder` | pure / shell / edge | `a` `b` | what it is | */
function readLayers(): readonly Layer[] {
  const rows = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').matchAll(
    /^\| `(\w+)` \| (pure|shell|edge|base) \| ([^|]*) \|/gm,
  )
  return [...rows].map(([, folder, kind, imports]) => ({
    folder: folder ?? '',
    pure: kind === 'pure' || kind === 'base',
    mayImport: [...(imports ?? '').matchAll(/`(\w+)`/g)].map((match) => match[1] ?? ''),
  }))
}

/** Folders inside of shells that are pure all the same. */
function readPureInside(): readonly string[] {
  const line = /^Inside of shells these folders are pure as well.*$/m.exec(
    readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'),
  )
  return [...(line?.[0] ?? '').matchAll(/`(\w+\/[\w/]+)`/g)].map((match) => match[1] ?? '')
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return sourceFiles(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

/** Not shipped and not layered: tests, and the helpers that only they use. */
function isTestFile(path: string): boolean {
  return /(\.(test|contract|support|test-support)\.ts|\/testing\/.*)$/.test(path)
}

function importsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '')
}

const layers = readLayers()
const pureInside = readPureInside()
const byFolder = new Map(layers.map((layer) => [layer.folder, layer]))
const files = sourceFiles(src).filter((path) => !isTestFile(path))

test('ARCHITECTURE.md names every folder of src, and no other', () => {
  const folders = readdirSync(src, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  expect(layers.map((layer) => layer.folder).sort()).toEqual(folders.sort())
})

test('every import points to a folder that the layer table allows, through its index', () => {
  const wrong: string[] = []
  for (const path of files) {
    const folder = relative(src, path).split('/')[0] ?? ''
    for (const specifier of importsOf(path)) {
      if (!specifier.startsWith('.')) continue
      const target = relative(src, resolve(dirname(path), specifier))
      const [targetFolder = '', ...rest] = target.split('/')
      if (targetFolder === folder) continue
      if (!byFolder.get(folder)?.mayImport.includes(targetFolder)) {
        wrong.push(`${relative(root, path)} imports ${targetFolder}, which its layer may not`)
      } else if (rest.at(-1) !== 'index.ts') {
        wrong.push(`${relative(root, path)} reaches into ${target}; use its index.ts`)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('the layer table has no cycle', () => {
  const open = new Set<string>()
  const done = new Set<string>()
  const visit = (folder: string, path: readonly string[]): void => {
    if (done.has(folder)) return
    expect(open.has(folder), `cycle: ${[...path, folder].join(' → ')}`).toBe(false)
    open.add(folder)
    for (const next of byFolder.get(folder)?.mayImport ?? []) visit(next, [...path, folder])
    open.delete(folder)
    done.add(folder)
  }
  for (const { folder } of layers) visit(folder, [])
})

test('pure folders have no clock, timer, randomness, promise or I/O', () => {
  const forbidden =
    /\b(Date\.now|new Date|performance\.now|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|process\.|Promise\b|async |await )/
  const wrong: string[] = []
  for (const path of files) {
    const folder = relative(src, path).split('/')[0] ?? ''
    const inside = pureInside.some((pure) => relative(src, path).startsWith(`${pure}/`))
    if ((!byFolder.get(folder)?.pure || folder === 'base') && !inside) continue
    for (const specifier of importsOf(path)) {
      if (specifier.startsWith('node:')) wrong.push(`${relative(root, path)} imports ${specifier}`)
    }
    for (const [number, line] of readFileSync(path, 'utf8').split('\n').entries()) {
      const code = line.replace(/^\s*(\*|\/\/|\/\*).*$/, '').replace(/\/\/ .*$/, '')
      if (forbidden.test(code)) wrong.push(`${relative(root, path)}:${number + 1} ${line.trim()}`)
    }
  }
  expect(wrong).toEqual([])
})

test('pure folders inside of shells exist, and import nothing but themselves and base', () => {
  expect(pureInside.length).toBeGreaterThan(0)
  const wrong: string[] = []
  for (const pure of pureInside) {
    const inside = files.filter((path) => relative(src, path).startsWith(`${pure}/`))
    expect(inside.length, pure).toBeGreaterThan(0)
    for (const path of inside) {
      for (const specifier of importsOf(path)) {
        const target = relative(src, resolve(dirname(path), specifier))
        if (specifier.startsWith('.') && (target.startsWith(`${pure}/`) || target === 'base/index.ts')) continue
        wrong.push(`${relative(root, path)} imports ${specifier}`)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('no source file is on its way to become the file', () => {
  const long = files.filter((path) => readFileSync(path, 'utf8').split('\n').length > 600)
  expect(long.map((path) => relative(root, path))).toEqual([])
})

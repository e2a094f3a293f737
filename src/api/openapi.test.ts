import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { serviceOpenApi } from './openapi.ts'

const file = new URL('../../docs/reference/http-services.openapi.json', import.meta.url)

test('the committed OpenAPI document is the one that the schemas give (else: node --import tsx scripts/openapi.mjs)', () => {
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(serviceOpenApi())
})

test('every reference in the document leads somewhere', () => {
  const text = JSON.stringify(serviceOpenApi())
  const { components } = serviceOpenApi() as { readonly components: { readonly schemas: Record<string, unknown> } }
  const names = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference)
  expect(names.length).toBeGreaterThan(10)
  for (const name of names) expect(Object.keys(components.schemas)).toContain(name.replace('#/components/schemas/', ''))
})

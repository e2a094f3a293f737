// `node --import tsx scripts/openapi.mjs` writes the HTTP contract's OpenAPI document anew, from the schemas in src/api.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { serviceOpenApi } from '../src/api/index.ts'
import { root, run } from './lib/prepare.mjs'

const file = join(root, 'docs/reference/http-services.openapi.json')
writeFileSync(file, `${JSON.stringify(serviceOpenApi(), null, 2)}\n`)
run(process.execPath, [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'format', '--write', file])

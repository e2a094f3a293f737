import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`src/${path}/index.ts`, import.meta.url))

export default defineConfig({
  resolve: {
    // Examples import the package by its name, as its users do; tests that load them want what is here now.
    alias: [
      { find: /^concordat$/, replacement: source('client') },
      { find: 'concordat/postgres', replacement: source('resources/postgres') },
      { find: 'concordat/mysql', replacement: source('resources/mysql') },
    ],
  },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Two cores: suites that start databases or fleets would starve each other beyond this.
    maxWorkers: 2,
  },
})

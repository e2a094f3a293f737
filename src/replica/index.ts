export * from './decision-log.ts'

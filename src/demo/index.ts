export { type DemoOptions, runDemo } from './demo.ts'
export type { KillSchedule } from './killer.ts'

// Schemas of entities that an earlier program wrote, or that a later one will.
import { z } from 'zod'

/**
 * An object with these fields that keeps all others: what a file holds beyond what this program knows must not be lost when
 * an entity is taken over or changed. The type has the known fields only.
 */
export function keeping<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.looseObject(shape) as unknown as z.ZodType<z.output<z.ZodObject<Shape>>, z.input<z.ZodObject<Shape>>>
}

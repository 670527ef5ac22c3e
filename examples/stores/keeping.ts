// Schemas of entities that were written by an earlier program, or that will be written by a later one.
import { z } from 'zod'

/**
 * An object schema with these fields that keeps all others: fields that this program does not know must not be lost when an
 * entity is adopted or changed. The type has only the known fields.
 */
export function keeping<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.looseObject(shape) as unknown as z.ZodType<z.output<z.ZodObject<Shape>>, z.input<z.ZodObject<Shape>>>
}

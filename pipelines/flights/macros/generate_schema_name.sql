{# A model's schema is the one it names: every environment has a database of its own, so no prefix is needed. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}
